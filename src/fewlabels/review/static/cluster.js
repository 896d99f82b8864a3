/** Many rows at once: those most alike to one, and one class for all that are selected, with a look at what would move. */

import { at, className, fill, make } from "./dom.js";
import { countedThings } from "./words.js";

const CALM = 200; // ms without a key until the server is asked

/** Show the rows that are most alike to one, by the graph. */
export function showAlike(form, row) {
  form.elements.like.value = String(row.row);
  form.elements.order.value = "alike";
  form.elements.order.dispatchEvent(new Event("input", { bubbles: true }));
}

function moves({ count, moves: pairs }, number) {
  if (!count) return [make("p", { text: "No other row would change its label." })];
  const line = ({ before, after, count: some }) =>
    make("li", {}, `${some.toLocaleString("en")} `, className(before, number(before)), " → ", className(after, number(after)));
  return [make("p", { text: `${countedThings(count, "other ")} would change:` }), make("ul", { class: "moves" }, ...pairs.map(line))];
}

/**
 * The dialog "label all of these".
 * @param {object} parts {get, number(name), classes, targets(): rows, name(text): give them this class}
 */
export function createMany({ get, number, classes, targets, name }) {
  const dialog = at("many");
  let [asked, timer] = [0, null];

  async function preview(place, rows, wanted) {
    const ask = ++asked;
    if (!classes.includes(wanted)) return fill(place, make("p", { class: "muted", text: wanted ? "A new class: it moves others with its next answers." : "Type a class." }));
    try {
      const reply = await get("/api/preview", { rows: rows.map(({ row }) => row).join(","), class: wanted });
      if (ask === asked) fill(place, ...moves(reply, number));
    } catch (error) {
      if (ask === asked) fill(place, make("p", { class: "muted", text: `What would move is not known: ${error.message}` }));
    }
  }

  /** Ask for the class of all targets. */
  return () => {
    const rows = targets();
    if (!rows.length) return;
    const place = make("div", { role: "status", class: "preview" });
    const names = classes.filter((one) => one !== null);
    const input = make("input", { type: "text", list: "many-classes", maxlength: 200, autocomplete: "off", "aria-label": "Class of all of these" });
    const list = make("datalist", { id: "many-classes" }, ...names.map((one) => make("option", { value: one })));
    const look = () => preview(place, rows, input.value.trim());
    input.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(look, CALM);
    });
    const submit = (event) => {
      event.preventDefault();
      if (!input.value.trim()) return;
      dialog.close();
      name(input.value);
    };
    fill(dialog,
      make("h2", { id: "many-heading", text: `Label all of these: ${countedThings(rows.length)}` }),
      make("form", { class: "line", on: { submit } }, input, list, make("button", { class: "strong", text: "Label all" })),
      place,
      make("button", { type: "button", text: "Cancel", on: { click: () => dialog.close() } }));
    dialog.showModal();
    look();
  };
}
