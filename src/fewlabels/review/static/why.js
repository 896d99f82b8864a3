/** The panel "why this label": shares of the classes, labelled rows and neighbours that decided it. */

import { at, className, fill, make, percent, picture } from "./dom.js";
import { lastPart } from "./tile.js";

const MOST_CLASSES = 8;

function share({ label, share: part }, number) {
  const bar = make("span", { class: "bar", style: { "--share": String(part) }, "aria-hidden": "true" });
  return make("li", { class: "share" }, className(label, number(label)), make("span", { class: "num", text: percent(part) }), bar);
}

function witness({ row, id, label, share: part, certainty }, meaning, { kind, number, open }) {
  const shown = kind === "images" ? make("img", { src: picture(row), alt: "", loading: "lazy" }) : null;
  const words = [`${percent(part)} ${meaning}`, certainty === undefined ? null : `certainty\u00a0${percent(certainty)}`];
  const facts = make("span", { class: "facts" },
    className(label, number(label)),
    make("span", { class: "id", title: id }, make("bdi", { text: lastPart(id) })),
    make("span", { class: "muted", text: words.filter(Boolean).join(", ") }));
  const button = make("button", { type: "button", title: "enlarge", on: { click: () => open(row) } }, shown, facts);
  return make("li", {}, button);
}

function part(heading, note, entries, list) {
  if (!entries.length) return null;
  return make("section", {}, make("h3", { text: heading }), note ? make("p", { class: "muted", text: note }) : null, make("ul", { class: list }, ...entries));
}

function reason(row, why) {
  if (row.answer !== null) return "You answered this row yourself. The graph around it says:";
  if (row.source === "given") return "This label was given with the data. The graph around it says:";
  if (why.label === null) return "No labelled row reaches this one, so it has no label. Label it, or one of its neighbours.";
  return null;
}

/** Fill the panel. row, why: as the server gives them. page: {kind, number, open}. */
export function showWhy(row, why, page) {
  const panel = at("why");
  const head = make("div", { class: "head" },
    make("h2", {}, "Why ", className(why.label, page.number(why.label)), "?"),
    make("button", { type: "button", "aria-label": "Close the panel", "aria-keyshortcuts": "w", on: { click: page.close } }, make("kbd", { text: "w" }), " close"));
  const explained = reason(row, why);
  fill(panel, head,
    make("div", { class: "self" },
      page.kind === "images" ? make("img", { src: picture(row.row), alt: "" }) : null,
      make("p", { class: "muted", title: row.id }, make("bdi", { text: lastPart(row.id) }))),
    explained ? make("p", { text: explained }) : null,
    part("Shares of the classes", null, why.shares.slice(0, MOST_CLASSES).map((one) => share(one, page.number)), "shares"),
    part("Labelled rows that decided it", null, why.labelled.map((one) => witness(one, "of the influence", page)), "witnesses"),
    part("Its neighbours on the graph", null, why.neighbours.map((one) => witness(one, "of its edges", page)), "witnesses"));
  panel.hidden = false;
}

/** Say in the panel that it could not be had. */
export function showNoWhy(message, close) {
  fill(at("why"), make("p", { text: `This cannot be shown now: ${message}` }), make("button", { type: "button", text: "Close", on: { click: close } }));
  at("why").hidden = false;
}
