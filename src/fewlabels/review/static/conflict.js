/** Two people, or two tabs, answered the same row: both values, and the person chooses. */

import { at, className, fill, make, picture } from "./dom.js";
import { countedThings, thing, things } from "./words.js";

const NAMES = { skip: "skipped", clear: "no answer", none: "none of these", unsure: "not sure", bad: "bad photo" };

/** An answer in a word: a class name, or what was done instead. Answers come as texts, or as {action, label}. */
function worded(answer) {
  if (answer === null || answer === undefined) return "no answer";
  if (typeof answer === "string") return answer;
  return answer.label ?? NAMES[answer.action] ?? "no answer";
}

function choice(name, value, text, number, checked) {
  const input = make("input", { type: "radio", name, value, checked });
  return make("label", {}, input, make("span", { class: "muted", text: value === "theirs" ? "keep theirs: " : "use mine: " }), className(text, number(text)));
}

function question({ row, yours, theirs }, { kind, number, idOf }) {
  const shown = kind === "images" ? make("img", { src: picture(row), alt: "", loading: "lazy" }) : null;
  const id = idOf(row);
  return make("li", { "data-row": row },
    make("fieldset", {},
      make("legend", { class: "cut", title: id }, make("bdi", { text: id })),
      shown,
      choice(`conflict-${row}`, "theirs", worded(theirs), number, true),
      choice(`conflict-${row}`, "yours", worded(yours), number, false)));
}

/**
 * Ask which of the two holds. Resolves to the set of rows where the person wants their own answer.
 * conflicts: [{row, yours, theirs, version}]. The dialog cannot be left without an answer.
 */
export function askConflict(conflicts, page) {
  const dialog = at("conflict");
  const one = conflicts.length === 1;
  const list = make("ul", {}, ...conflicts.map((conflict) => question(conflict, page)));
  const all = (value) => {
    for (const input of list.querySelectorAll(`input[value=${value}]`)) input.checked = true;
  };
  return new Promise((decided) => {
    const done = () => {
      const mine = [...list.querySelectorAll("input[value=yours]:checked")].map((input) => Number(input.name.split("-")[1]));
      dialog.close();
      decided(new Set(mine));
    };
    fill(dialog,
      make("h2", { id: "conflict-heading", text: `${countedThings(conflicts.length)} answered elsewhere meanwhile` }),
      make("p", { text: `Another tab or person answered ${one ? `this ${thing()}` : `these ${things()}`} after this page had read ${one ? "it" : "them"}. Nothing of yours was written. Which answer holds?` }),
      list,
      make("div", { class: "line" },
        one ? null : make("button", { type: "button", text: "All theirs", on: { click: () => all("theirs") } }),
        one ? null : make("button", { type: "button", text: "All mine", on: { click: () => all("yours") } }),
        make("button", { type: "button", class: "strong", text: "Go on", on: { click: done } })));
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.showModal();
  });
}

/**
 * The requests that stand in for one that met conflicts, as bodies: its answers without those given up, with the
 * versions that the server has now.
 */
export function resolved(body, conflicts, mine, identity) {
  const version = new Map(conflicts.map((conflict) => [conflict.row, conflict.version]));
  const kept = body.answers.filter(({ row }) => !version.has(row) || mine.has(row));
  if (!kept.length) return [];
  const answers = kept.map((answer) => ({ ...answer, version: version.get(answer.row) ?? answer.version }));
  return [{ client: identity.client, seq: identity.next(), answers }];
}
