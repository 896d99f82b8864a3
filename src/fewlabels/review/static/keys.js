/** The keyboard: which key does what, and the page that shows it. */

import { at, fill, keycap, make } from "./dom.js";
import { classOfKey } from "./palette.js";

/** [keys as shown, what they do, name of the action, keys as the browser calls them]; the first two are the help page. */
const COMMANDS = [
  ["Enter", "accept the label shown: right as it is", "accept", ["Enter"]],
  ["s", "skip: leave it out of the queue", "skip", ["s"]],
  ["x", "none of these classes", "none", ["x"]],
  ["q", "not sure", "unsure", ["q"]],
  ["b", "bad photo: it gets no label", "bad", ["b"]],
  ["u, Ctrl+Z", "undo this tab's last answer", "undo", ["u"]],
  ["Delete", "take an answer back", "clear", ["Delete", "Backspace"]],
  ["+", "type a class, also a new one", "type", ["+"]],
  ["g", "show what is most alike to this one", "alike", ["g"]],
  ["m", "label all that are selected, with a look at what would move", "many", ["m"]],
  ["/, l", "choose a class by name", "pick", ["/", "l"]],
  ["w", "why this label: open or close the panel", "why", ["w"]],
  ["z, double click", "enlarge", "zoom", ["z"]],
  ["h", "history of answers; of the one that is enlarged, its own", "history", ["h"]],
  ["n", "show the next", "next", ["n"]],
  ["p", "show the previous", "previous", ["p"]],
  ["a", "select all shown", "all", ["a"]],
  ["Space, Ctrl+click", "select one, or take it out", "toggle", [" "]],
  ["Esc", "select nothing; close what is open", "escape", ["Escape"]],
  ["f", "go to the search", "find", ["f"]],
  ["?", "this page", "help", ["?"]],
];
const MOVES = [
  ["Arrows, Home, End", "move the focus"],
  ["Shift+arrows, Shift+click", "select from here to there"],
];
const ACTION = new Map(COMMANDS.flatMap(([, , action, keys]) => keys.map((key) => [key, action])));
const IN_GRID = new Set(["Enter", " ", "Delete", "Backspace"]); // elsewhere these belong to buttons and links
const IN_ZOOM = new Set(["accept", "skip", "none", "unsure", "bad", "undo", "clear", "pick", "zoom", "history"]);
const STORED = "fewlabels:single-keys";

export const singleKeys = () => localStorage.getItem(STORED) !== "off";
const isTyping = (element) => element.closest?.("input:not([type=checkbox], [type=radio]), select, textarea") !== null;

/** How far the focus goes for a key, in places; undefined for other keys. */
function step(key, columns, place, count) {
  return { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -place, End: count - 1 - place }[key];
}

function onMove(event, page, zoom) {
  const { focus, order } = page.selection();
  const distance = step(event.key, zoom ? 1 : page.columns(), focus, order.length);
  if (distance === undefined) return false;
  // Up in the first line, or down in the last, stays: a jump to its end would be a surprise.
  const place = focus + distance;
  if (place >= 0 && place < order.length) page.move(place, event.shiftKey && !zoom);
  return true;
}

function onCommand(event, page, zoom) {
  const action = ACTION.get(event.key.length === 1 ? event.key.toLowerCase() : event.key);
  if (IN_GRID.has(event.key) && (zoom ? event.target.closest("button") : !page.inGrid())) return false;
  if (event.key.length === 1 && event.key !== " " && !singleKeys()) return false;
  if (action && (!zoom || IN_ZOOM.has(action))) {
    page[action]();
    return action !== "escape";
  }
  const number = action ? -1 : classOfKey(event, page.classKeys);
  if (number >= 0) page.label(number);
  return number >= 0;
}

function onKey(event, page) {
  const zoom = at("zoom").open;
  if (event.altKey || event.isComposing || isTyping(event.target)) return;
  if (!zoom && document.querySelector("dialog[open]")) return;
  let done = false;
  if (event.ctrlKey || event.metaKey) {
    const undo = event.key.toLowerCase() === "z" && !event.shiftKey;
    if (undo) page.undo();
    done = undo || (page.inGrid() && event.key.startsWith("Arrow") && onMove(event, page, zoom));
  } else {
    done = ((zoom || page.inGrid()) && onMove(event, page, zoom)) || onCommand(event, page, zoom);
  }
  if (done) event.preventDefault();
}

/** Listen. page: the actions by name, and selection(), columns(), move(place, extend), inGrid(), label(number), classKeys. */
export function listen(page) {
  document.addEventListener("keydown", (event) => onKey(event, page));
}

function lines(entries) {
  const one = ([keys, says]) => [make("dt", {}, ...keys.split(", ").flatMap((key, i) => [i ? " " : "", keycap(key)])), make("dd", { text: says })];
  return make("dl", { class: "keys" }, ...entries.flatMap(one));
}

/** The page of all keys. */
export function showHelp() {
  const dialog = at("help");
  const box = make("input", { type: "checkbox", checked: singleKeys(), on: { change: () => localStorage.setItem(STORED, box.checked ? "on" : "off") } });
  fill(dialog,
    make("h2", { id: "help-heading", text: "Keys" }),
    make("p", { text: "Answers go to what is selected, or to the one with the focus if nothing is." }),
    lines([["1, 2, … 9, 0", "label: the class with this key, as in the list of classes; further classes have letters"], ...COMMANDS, ...MOVES]),
    make("label", { class: "check" }, box, " Keys of a single letter or digit (off: Enter, Space, Delete, arrows and buttons only)"),
    make("button", { type: "button", class: "strong", text: "Close", on: { click: () => dialog.close() } }));
  dialog.showModal();
}
