/** The rows on the page: loaded a page at a time, brought up to date in place, never reordered under the person's hand. */

import { at, fill, make } from "./dom.js";
import { isFiltered, lookInAll, narrowOrder, orderNote, wanted } from "./filters.js";
import * as choose from "./selection.js";
import { isOpen } from "./tile.js";
import { zoomed } from "./zoom.js";
import { countedThings, thing, things } from "./words.js";

export const PAGE = 48; // rows

/**
 * @param {object} parts {get, grid, form, session, waiting(): Map of unsaved answers, number(name), chosen()}
 */
export function createList({ get, grid, form, session, waiting, number, chosen }) {
  let asked = 0; // only the answer to the newest question counts
  let order = "queue";
  const stale = new Set(); // rows whose label is not known until the graph has been asked again
  const list = { rows: new Map(), selection: choose.startSelection([]), first: 0, total: 0, still: 0 };

  const query = (first) => ({ ...wanted(form), first, count: PAGE });
  const open = (row) => isOpen(list.rows.get(row), waiting().has(row));

  /** Change focus or selection; `take` moves the keyboard's focus into the grid. */
  list.select = (selection, take = true) => {
    list.selection = selection;
    grid.select(selection, take);
    chosen();
  };

  /** The rows that an answer goes to: the enlarged one, which need not be in the list; those selected; the focused one. */
  list.targets = () => (zoomed() ? [zoomed()] : choose.targets(list.selection).map((row) => list.rows.get(row)));

  function describe() {
    const last = list.first + list.rows.size;
    const left = [...list.rows.keys()].filter(open).length;
    const unanswered = left === list.rows.size ? `none of these ${left} answered yet` : `${left} of these ${list.rows.size} not answered yet`;
    const rest = left ? unanswered : list.hasMore() ? "all answered: Next shows more" : "all answered, and no more follow";
    const place = `${(list.first + 1).toLocaleString("en")} to ${last.toLocaleString("en")} of ${countedThings(list.total)}`;
    at("shown").textContent = list.rows.size ? `${place}; ${rest}` : "";
    at("previous").disabled = list.first === 0;
    at("next").disabled = !list.rows.size;
  }

  /** Whether rows follow after those shown. */
  list.hasMore = () => list.first + list.rows.size < list.total;

  /** Draw tiles again, all or some. */
  list.paint = (rows = [...list.rows.values()]) => {
    grid.paint(rows, waiting(), number);
    describe();
  };

  function nothingHere() {
    const filtered = isFiltered(form);
    const order = narrowOrder(form);
    const [text, ...ways] =
      list.first > 0 ? ["This is the end of the list.", ["Back to its beginning", () => list.load(0)]]
      : !filtered ? ["Nothing is left in this list."]
      : order && !orderNote(form) ? [`No ${thing()} of the order “${order}” matches.`, [`Look in all ${things()}`, () => lookInAll(form)], ["Reset", () => form.reset()]]
      : [`No ${thing()} matches.`, ["Reset", () => form.reset()]];
    const button = ([name, click]) => make("button", { type: "button", text: name, on: { click } });
    fill(at("empty"), make("p", { text }), ...ways.map(button));
  }

  function show(reply, first, take) {
    list.rows = new Map(reply.rows.map((row) => [row.row, row]));
    Object.assign(list, { first, total: reply.total, still: reply.rows.length });
    at("empty").hidden = reply.rows.length > 0;
    at("order-note").textContent = orderNote(form);
    if (!reply.rows.length) nothingHere();
    grid.show(reply.rows, session.kind);
    list.paint();
    list.select(choose.startSelection([...list.rows.keys()]), take);
  }

  /** Load the page of rows that begins at a place in the list. take: the keyboard's focus goes into the grid. */
  list.load = async (first, take = true) => {
    const ask = ++asked;
    try {
      const reply = await get("/api/rows", query(first));
      if (ask !== asked) return;
      ({ order } = wanted(form));
      show(reply, first, take);
      if (first || take) scrollTo({ top: 0 });
    } catch (error) {
      if (ask !== asked) return;
      at("empty").hidden = false;
      const again = make("button", { type: "button", text: "Try again", on: { click: () => list.load(first) } });
      fill(at("empty"), make("p", { text: `The ${things()} cannot be loaded: ${error.message}` }), again);
    }
  };

  /** Further on in the list. Rows that left it, because they were answered, have made room. */
  list.next = () => {
    const left = order === "queue" || order === "alike" ? [...list.rows.keys()].filter(open).length : list.still;
    return list.load(list.first + left);
  };

  list.previous = () => list.load(Math.max(list.first - PAGE, 0));

  /** What the server says of rows now. */
  list.update = (rows) => {
    // A reply that set out before an answer was acknowledged must not bring back the version before it.
    const newer = ({ row, version }) => version === undefined || version >= list.rows.get(row).version;
    const here = rows.filter((row) => list.rows.has(row.row) && newer(row));
    for (const row of here) list.rows.set(row.row, { ...list.rows.get(row.row), ...row });
    list.paint(here.map(({ row }) => list.rows.get(row)));
  };

  /** An acknowledged answer: what is known of its rows before the graph has been asked. */
  list.applied = (applied) => {
    const known = ({ row, answer, skipped, said, version }) => {
      if (answer === null) stale.add(row);
      const certain = answer === null ? {} : { label: answer, certainty: 1, source: "answered" };
      return { row, answer, skipped, said, version, ...certain };
    };
    list.update(applied.map(known));
  };

  /** Classes have other names now: what the rows shown are called is asked for with the next refresh. */
  list.renamed = () => {
    for (const row of list.rows.keys()) stale.add(row);
  };

  /** Bring rows up to date in place after the graph moved. */
  list.refresh = async () => {
    const ask = asked;
    const lost = [...stale].filter((row) => list.rows.has(row));
    stale.clear();
    try {
      const single = await Promise.all(lost.map((row) => get(`/api/rows/${row}`)));
      const reply = await get("/api/rows", query(list.first));
      if (ask !== asked) return;
      list.still = reply.rows.filter(({ row }) => list.rows.has(row)).length;
      list.update([...single, ...reply.rows]);
    } catch {
      // They stay as they are until the next answer; what keeps answers from being saved is told elsewhere.
      for (const row of lost) stale.add(row);
    }
  };

  /** Focus on the next row that waits for an answer. Returns whether there is one. */
  list.advance = (answered) => {
    if (!answered.some((row) => list.rows.has(row))) return true;
    list.select(choose.afterAnswer(list.selection, answered, open), zoomed() === null);
    return [...list.rows.keys()].some(open);
  };

  return list;
}
