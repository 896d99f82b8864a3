/** One row, enlarged, in a dialog. */

import { at, className, fill, make, picture } from "./dom.js";
import { badge, columns, spoken } from "./tile.js";

let shown = null;

/** Show a row. page: {kind, number}; waiting: its unsaved answer or undefined. */
export function showZoom(row, waiting, { kind, number }) {
  const dialog = at("zoom");
  const label = waiting?.label ?? row.answer ?? row.label;
  const large = kind === "images" ? make("div", { class: "large" }, make("img", { src: picture(row.row), alt: spoken(row, waiting) })) : null;
  const close = make("button", { type: "button", "aria-label": "Close", on: { click: () => dialog.close() } }, make("kbd", { text: "Esc" }), " close");
  fill(dialog,
    large,
    make("div", { class: "line" }, className(label, number(label)), badge(row, waiting), close),
    make("p", { class: "id" }, make("bdi", { text: row.id })),
    columns(row));
  shown = row;
  if (!dialog.open) {
    dialog.tabIndex = -1;
    dialog.showModal();
    dialog.focus(); // not the button: here Enter accepts the label
  }
}

/** The row that is enlarged now; null if none is. */
export const zoomed = () => (at("zoom").open ? shown : null);
