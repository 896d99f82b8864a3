/** One row as a tile of the grid. */

import { className, cutName, make, percent, picture } from "./dom.js";

const SAID = { skip: "skipped", none: "none of these", unsure: "not sure", bad: "bad photo" };
const ACTIONS = { ...SAID, skip: "skip", clear: "take back" };

/** What is said of where a label comes from. */
export function origin(row) {
  if (row.answer !== null) return "answered";
  if (row.skipped) return SAID[row.said] ?? "skipped";
  return row.source === "none" || row.label === null ? "not reached" : row.source;
}

/** Whether a row waits for an answer: none given here, not skipped, none on its way. */
export const isOpen = (row, waiting) => row.answer === null && !row.skipped && !waiting;

/** What a screen reader says of a row. waiting: the answer that is not saved yet, or undefined. */
export function spoken(row, waiting) {
  const label = row.answer ?? row.label ?? "no label";
  const sure = origin(row) === "propagated" ? `, certainty ${percent(row.certainty)}` : "";
  const texts = Object.values(row.columns ?? {}).join(", ");
  const state = waiting ? `saving: ${waiting.label ?? ACTIONS[waiting.action]}` : origin(row);
  return `${row.id}: ${label}${sure}, ${state}${texts ? `. ${texts}` : ""}`;
}

function image(row) {
  const frame = make("div", { class: "picture" });
  const gone = () => frame.replaceChildren(make("span", { class: "muted", text: "image cannot be shown" }));
  // Its name is in the tile's label; an alternative text would be read twice.
  frame.append(make("img", { src: picture(row.row), alt: "", loading: "lazy", decoding: "async", on: { error: gone } }));
  return frame;
}

/** Metadata columns as a list of terms; null where there are none. */
export function columns(row, most = Infinity) {
  const entries = Object.entries(row.columns ?? {}).slice(0, most);
  if (!entries.length) return null;
  const pairs = entries.map(([name, text]) => [
    make("dt", { class: "cut", title: name }, make("bdi", { text: name })),
    make("dd", {}, make("bdi", { text: String(text ?? "") })),
  ]);
  return make("dl", { class: "texts" }, ...pairs.flat());
}

/** Where a label comes from, in a word or as certainty. */
export function badge(row, waiting) {
  if (waiting) return make("span", { class: "badge waiting", text: "saving…" });
  const said = origin(row);
  if (said === "not reached" && !document.querySelector("#palette li")) return make("span", { hidden: true }); // no class yet
  const mark = { answered: "✓ ", skipped: "» ", given: "• ", "not reached": "? " }[said] ?? "";
  return make("span", { class: `badge ${said.replace(" ", "-")}`, text: mark + (said === "propagated" ? percent(row.certainty) : said) });
}

/** A path's last part: what tells files of one folder apart. The whole is shown on hovering and enlarged. */
export const lastPart = (id) => id.split("/").at(-1) || id;

function caption(row, waiting, number) {
  const label = waiting?.label ?? row.answer ?? row.label;
  const shown = origin(row) === "propagated" && !waiting;
  const bar = make("span", { class: shown ? "bar" : "bar none", style: { "--share": String(row.certainty ?? 0) }, "aria-hidden": "true" });
  return make(
    "div",
    { class: "caption" },
    className(label, number(label)),
    bar,
    make("div", { class: "line" }, make("span", { class: "id muted", title: row.id }, cutName(lastPart(row.id))), badge(row, waiting)),
  );
}

/** A cell without content; `paint` puts a row into it. */
export function makeTile(row, kind) {
  const tile = make("div", { class: `tile ${kind}`, role: "gridcell", tabindex: "-1", "data-row": row.row });
  const pick = make("span", { class: "pick", "aria-hidden": "true" });
  tile.append(pick, kind === "images" ? image(row) : make("div", { class: "words" }));
  return tile;
}

/** Bring a cell up to date. number: class name -> number. */
export function paint(tile, row, waiting, number) {
  tile.querySelector(".caption")?.remove();
  tile.append(caption(row, waiting, number));
  const words = tile.querySelector(".words");
  if (words && !words.firstChild) words.append(columns(row) ?? make("p", {}, make("bdi", { text: row.id })));
  tile.setAttribute("aria-label", spoken(row, waiting));
  tile.classList.toggle("is-waiting", Boolean(waiting));
  tile.classList.toggle("is-done", !isOpen(row, waiting) && !waiting);
}
