/** Elements without HTML text: everything that comes from data goes in as text, never as markup. */

/**
 * One element.
 * @param {string} tag its name
 * @param {object} properties `text`, `class`, `on` {event: listener}, `style` {--name: value}; others are attributes;
 *   null, undefined and false leave an attribute out, true sets it empty
 * @param {...(Node|string|null)} children appended in order; texts become text nodes
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) put(element, name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function put(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === "text") element.textContent = value;
  else if (name === "class") element.className = value;
  else if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
  // Through the object model: the content security policy forbids style attributes.
  else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
  else element.setAttribute(name, value === true ? "" : String(value));
}

/** The element of the page with this id. */
export const at = (id) => document.getElementById(id);

/** Replace what is in an element; nulls are left out. */
export function fill(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
}

/** A key as it is printed on keyboards. */
export const keycap = (key) => make("kbd", { text: key });

const plural = new Intl.PluralRules("en");

/** "1 row", "1,200 rows". */
export function counted(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${plural.select(number) === "one" ? one : many}`;
}

/** 0.874 -> "87 %", with a space that no line breaks at. Never "100 %" for less than one, nor "0 %" for more than nothing. */
export function percent(share) {
  if (share > 0 && share < 0.005) return "<\u00a01\u00a0%";
  if (share < 1 && share > 0.995) return ">\u00a099\u00a0%";
  return `${Math.round(100 * share)}\u00a0%`;
}

/** The address of a row's picture. Rows are numbers; the server knows no paths. */
export const picture = (row) => `/api/rows/${row}/image`;

// Those of the report (report/pictures.py), which the colour-blind tell apart. From the eleventh class on they come again.
const COLOURS = ["#0072b2", "#d55e00", "#409f80", "#680d27", "#8a87a9", "#2e5002", "#a77a46", "#6a486f", "#8081ed", "#9b3846"];

/** The colour of a class, as in the report. */
export const colour = (number) => ({ "--class": COLOURS[number % COLOURS.length] });

const TAIL = 8; // characters at the end that are never cut

/** A name that is cut in its middle where there is no room: the end tells files of one camera apart. */
export function cutName(text) {
  // By what a person takes for one character, so that no accent is torn off.
  const characters = [...new Intl.Segmenter().segment(text)].map(({ segment }) => segment);
  const [begin, end] = [characters.slice(0, -TAIL), characters.slice(-TAIL)].map((part) => part.join(""));
  return make("bdi", { class: "middle" }, make("span", { class: "begin", text: begin }), make("span", { text: end }));
}

/** A coloured dot and the class's name, cut where long. `number` -1 where the name is no class. */
export function className(name, number) {
  if (name === null || name === undefined) return make("span", { class: "name none", text: "no label" });
  const dot = make("span", { class: "dot", "aria-hidden": "true", style: number >= 0 ? colour(number) : {} });
  return make("span", { class: "name", title: name }, dot, make("bdi", { text: name }));
}
