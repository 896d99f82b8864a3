/** The strip that shows whose label changed after an answer. */

import { at, className, fill, make, picture } from "./dom.js";
import { countedThings, thing } from "./words.js";

const MOST = 24; // thumbnails; the heading counts all

function change({ row, id, before, after }, { kind, number, open }) {
  const shown = kind === "images"
    ? make("img", { src: picture(row), alt: "", loading: "lazy" })
    : make("span", { class: "cut id" }, make("bdi", { text: id }));
  const arrow = make("span", { class: "arrow", "aria-hidden": "true", text: "→" });
  const names = make("span", { class: "names" }, className(before, number(before)), arrow, className(after, number(after)));
  const said = `${id}: ${before ?? "no label"} became ${after ?? "no label"}. Show it`;
  return make("li", {}, make("button", { type: "button", "aria-label": said, title: id, on: { click: () => open(row) } }, shown, names));
}

/** What one reply of /api/graph says, in words. */
export function told({ count }) {
  return count ? `${countedThings(count, "other ")} changed ${count === 1 ? "its" : "their"} label.` : `No other ${thing()} changed its label.`;
}

/** Show it. page: {kind, number(class name) -> class number, open(row)}. */
export function showMoved(reply, page) {
  const time = make("span", { class: "muted", text: ` in ${Math.max(reply.seconds, 0.01).toFixed(2)} s` });
  const heading = make("h2", { text: told(reply) }, time);
  const list = make("ul", {}, ...reply.moved.slice(0, MOST).map((one) => change(one, page)));
  fill(at("moved"), heading, reply.count ? list : null);
}

/** Say that what moved cannot be told now, and why. Answers are saved all the same: they do not wait for the graph. */
export function showNotMoved(error) {
  fill(at("moved"), make("p", { class: "muted", text: `What moved is not known yet: ${error.message}` }));
}
