/** One row, enlarged, in a dialog. */

import { at, className, fill, keycap, make, picture } from "./dom.js";
import { keysOf } from "./palette.js";
import { badge, columns, spoken } from "./tile.js";

let shown = null;

/** The classes that have a key, as buttons, and what else can be done here. */
function choices({ classes, number, label }) {
  const keys = keysOf(classes);
  const button = (name, key) =>
    make("button", { type: "button", "aria-keyshortcuts": key, on: { click: () => label(name) } }, keycap(key), className(name, number(name)));
  const buttons = classes.flatMap((name, place) => (name !== null && keys[place] ? [button(name, keys[place])] : []));
  const others = [["Enter", "accept"], ["s", "skip"], ["x", "none of these"], ["q", "not sure"], ["b", "bad photo"], ["u", "undo"], ["/", buttons.length < classes.length ? "other classes" : "find class"]];
  return [
    make("div", { class: "choices", role: "group", "aria-label": "Label it" }, ...buttons),
    make("p", { class: "muted hints" }, ...others.map(([key, does]) => make("span", {}, keycap(key), ` ${does}`))),
  ];
}

/** Show a row. page: {kind, number, classes, label}; waiting: its unsaved answer or undefined. */
export function showZoom(row, waiting, page) {
  const { kind, number } = page;
  const dialog = at("zoom");
  const label = waiting?.label ?? row.answer ?? row.label;
  const large = kind === "images" ? make("div", { class: "large" }, make("img", { src: picture(row.row), alt: spoken(row, waiting) })) : null;
  const close = make("button", { type: "button", "aria-label": "Close", on: { click: () => dialog.close() } }, make("kbd", { text: "Esc" }), " close");
  fill(dialog,
    large,
    make("div", { class: "line" }, className(label, number(label)), badge(row, waiting), close),
    make("p", { class: "id" }, make("bdi", { text: row.id })),
    columns(row),
    ...choices(page));
  shown = row;
  if (!dialog.open) {
    dialog.tabIndex = -1;
    dialog.showModal();
  }
  dialog.focus(); // not a button: here Enter accepts the label
}

/** The row that is enlarged now; null if none is. */
export const zoomed = () => (at("zoom").open ? shown : null);
