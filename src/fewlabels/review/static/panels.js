/** What is shown beside the grid of one row: the panel "why this label" and the row enlarged. */

import { notice } from "./banners.js";
import { at } from "./dom.js";
import * as choose from "./selection.js";
import { showNoWhy, showWhy } from "./why.js";
import { showZoom, zoomed } from "./zoom.js";
import { countedThings, thing } from "./words.js";

const CALM = 120; // ms that the focus rests on a row before the panel follows

/**
 * @param {object} parts {get, list(), waiting(), kind, number(name), classes, label(name)}
 */
export function createPanels({ get, list, waiting, kind, number, classes, label }) {
  const panels = {};
  const view = { kind, number, classes, label, open: (row) => panels.enlarge(row), close: () => panels.closeWhy() };
  const current = () => list().rows.get(choose.focused(list().selection));
  const show = (row) => showZoom(row, waiting().get(row.row), view);
  let timer = null;

  /** What the panels need to show moved rows. */
  panels.view = view;

  /** Bring the panel up to date. */
  panels.explain = async () => {
    const row = current();
    if (!row) return;
    try {
      const why = await get(`/api/rows/${row.row}/why`);
      if (current()?.row === row.row) showWhy(current(), why, view);
    } catch (error) {
      showNoWhy(error.message, view.close);
    }
  };

  panels.closeWhy = () => {
    at("why").hidden = true;
    list().select(list().selection);
  };

  panels.why = () => (at("why").hidden ? panels.explain() : panels.closeWhy());

  /** Show a row enlarged, whether it is in the list or not. */
  panels.enlarge = async (row) => {
    const place = list().selection.order.indexOf(row);
    if (place >= 0) list().select(choose.focusOn(list().selection, place), false);
    const found = list().rows.get(row) ?? (await get(`/api/rows/${row}`).catch((error) => notice(error.message)));
    if (found) show(found);
  };

  panels.zoom = () => {
    if (zoomed()) at("zoom").close();
    else if (current()) show(current());
  };

  /** The row that is enlarged, else the one with the focus; undefined in an empty list. */
  panels.current = () => zoomed() ?? current();

  /** Returns whether a row was enlarged. */
  panels.closeZoom = () => {
    const was = zoomed() !== null;
    at("zoom").close();
    return was;
  };

  /** Focus or selection changed: say where answers go, and let the panels follow. */
  panels.follow = () => {
    const { selected } = list().selection;
    at("goes-to").textContent = `Answers go to ${selected.size ? countedThings(selected.size, "selected ") : `the ${thing()} with the focus`}.`;
    if (zoomed() && current()) show(current());
    if (!at("why").hidden) panels.later();
  };

  panels.later = () => {
    clearTimeout(timer);
    timer = setTimeout(() => at("why").hidden || panels.explain(), CALM);
  };

  at("zoom").addEventListener("close", () => list().select(list().selection));
  return panels;
}
