/** Which rows are shown, and in what order: the form, and the same in the address, so that a reload keeps it. */

import { at, make } from "./dom.js";

const FIELDS = ["text", "order", "class", "source", "min_certainty", "max_certainty", "like"];
const PERCENT = new Set(["min_certainty", "max_certainty"]);
// The orders that have rows of some sources only: the queue is of rows without a label, suspicious are given ones.
const SOURCES_OF = { queue: ["", "propagated", "none"], suspicious: ["", "given", "answered"] };

/** Whether the order that is chosen has rows of the source that is chosen. */
const fits = ({ order, source }) => SOURCES_OF[order.value]?.includes(source.value) ?? true;

/** The name of the order that is chosen, where it leaves rows out; else null. */
export const narrowOrder = ({ elements: { order } }) => (order.value in SOURCES_OF ? order.selectedOptions[0].text : null);

/** What is said where rows come in another order than the one that is chosen; else nothing. */
export const orderNote = (form) => (fits(form.elements) ? "" : `“${narrowOrder(form)}” has none of this source: they stand as in the data.`);

/** The form's values for the server: certainty as a share, an order that has such rows; empty values are left out there. */
export function wanted(form) {
  const values = FIELDS.map((name) => [name, form.elements[name].value]);
  const shares = values.map(([name, value]) => [name, PERCENT.has(name) && value !== "" ? value / 100 : value]);
  return { ...Object.fromEntries(shares), ...(fits(form.elements) ? {} : { order: "row" }) };
}

/** The same filters over all rows, whatever their order was. */
export function lookInAll(form) {
  form.elements.order.value = "row";
  form.elements.order.dispatchEvent(new Event("input", { bubbles: true }));
}

/** Whether anything but the order is asked for. */
export const isFiltered = (form) => FIELDS.some((name) => name !== "order" && name !== "like" && form.elements[name].value !== "");

function remember(form) {
  const values = FIELDS.map((name) => [name, form.elements[name].value]);
  const kept = values.filter(([name, value]) => value !== "" && !(name === "order" && value === "queue"));
  const hash = new URLSearchParams(kept).toString();
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname);
}

function recall(form) {
  const hash = new URLSearchParams(location.hash.slice(1));
  for (const name of FIELDS.filter((field) => hash.has(field))) {
    const before = form.elements[name].value;
    form.elements[name].value = hash.get(name);
    if (form.elements[name].tagName === "SELECT" && form.elements[name].value === "") form.elements[name].value = before;
  }
}

/** Fill the form and call changed() when it asks for something else. Returns the form. */
export function openFilters(classes, changed) {
  const form = at("filters");
  const names = classes.filter((name) => name !== null);
  form.elements.class.append(...names.map((name) => make("option", { value: name, text: name })));
  recall(form);
  at("filter-box").open = isFiltered(form) || !matchMedia("(max-width: 44rem)").matches;
  let timer = null;
  const soon = (delay) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      remember(form);
      changed();
    }, delay);
  };
  form.addEventListener("input", (event) => soon(event.target.tagName === "SELECT" ? 0 : 250));
  form.addEventListener("reset", () => soon(0));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    soon(0);
  });
  return form;
}
