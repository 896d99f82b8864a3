/** The panel "why this label": shares of the classes, labelled rows and neighbours that decided it. */

import { at, className, cutName, fill, make, percent, picture } from "./dom.js";
import { lastPart } from "./tile.js";
import { thing, things } from "./words.js";

const MOST_CLASSES = 8;
const FEW = 0.1; // a share below it is told as a word: many of 3 % say nothing

/** How much of the label one of those that decided it carries, in words. */
function weighed(part) {
  if (part < FEW) return "adds a little";
  return `${part < 0.5 ? "counts for" : "decides it:"} ${percent(part)}`;
}

/** How strongly two are tied, beside the strongest tie of the same one. */
function tied(part, most) {
  const words = [[0.75, "among the most alike"], [0.4, "alike"], [0, "somewhat alike"]];
  return part === most ? "the most alike" : words.find(([least]) => part >= least * most)[1];
}

function share({ label, share: part }, number) {
  const bar = make("span", { class: "bar", style: { "--share": String(part) }, "aria-hidden": "true" });
  return make("li", { class: "share" }, className(label, number(label)), make("span", { class: "num", text: percent(part) }), bar);
}

function witness({ row, id, label, certainty }, said, { kind, number, open }) {
  const shown = kind === "images" ? make("img", { src: picture(row), alt: "", loading: "lazy" }) : null;
  const words = [said, certainty === undefined ? null : `certainty\u00a0${percent(certainty)}`];
  const facts = make("span", { class: "facts" },
    className(label, number(label)),
    make("span", { class: "id", title: id }, cutName(lastPart(id))),
    make("span", { class: "muted", text: words.filter(Boolean).join(", ") }));
  const button = make("button", { type: "button", title: "enlarge", on: { click: () => open(row) } }, shown, facts);
  return make("li", {}, button);
}

function part(heading, note, entries, list) {
  if (!entries.length) return null;
  return make("section", {}, make("h3", { text: heading }), note ? make("p", { class: "muted", text: note }) : null, make("ul", { class: list }, ...entries));
}

function reason(row, why) {
  if (row.answer !== null) return "You answered this one yourself. Those around it say:";
  if (row.source === "given") return "This label was given with the data. Those around it say:";
  if (why.label === null) return `No labelled ${thing()} is near enough, so this one has no label. Label it, or one like it.`;
  return null;
}

const byShare = (entries) => [...entries].sort((a, b) => b.share - a.share);

/** What those that are shown carry together, where each carries little. */
function togetherOf(labelled) {
  if (labelled.length < 2 || labelled[0].share >= FEW) return null;
  return `No single one decides: these ${labelled.length} carry ${percent(labelled.reduce((sum, { share }) => sum + share, 0))} together, the strongest first.`;
}

/** Fill the panel. row, why: as the server gives them. page: {kind, number, open}. */
export function showWhy(row, why, page) {
  const panel = at("why");
  const head = make("div", { class: "head" },
    make("h2", {}, "Why ", className(why.label, page.number(why.label)), "?"),
    make("button", { type: "button", "aria-label": "Close the panel", "aria-keyshortcuts": "w", on: { click: page.close } }, make("kbd", { text: "w" }), " close"));
  const explained = reason(row, why);
  const [neighbours, labelled] = [why.neighbours, why.labelled].map(byShare);
  fill(panel, head,
    make("div", { class: "self" },
      page.kind === "images" ? make("img", { src: picture(row.row), alt: "" }) : null,
      make("p", { class: "muted", title: row.id }, cutName(lastPart(row.id)))),
    explained ? make("p", { text: explained }) : null,
    part("Shares of the classes", null, why.shares.slice(0, MOST_CLASSES).map((one) => share(one, page.number)), "shares"),
    part(`The ${things()} most like it`, null, neighbours.map((one) => witness(one, tied(one.share, neighbours[0].share), page)), "witnesses"),
    part(`Labelled ${things()} that decided it`, togetherOf(labelled), labelled.map((one) => witness(one, weighed(one.share), page)), "witnesses"));
  panel.hidden = false;
}

/** Say in the panel that it could not be had. */
export function showNoWhy(message, close) {
  fill(at("why"), make("p", { text: `This cannot be shown now: ${message}` }), make("button", { type: "button", text: "Close", on: { click: close } }));
  at("why").hidden = false;
}
