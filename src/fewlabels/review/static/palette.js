/** The classes with their keys: the list beside the grid, and the chooser for long lists. */

import { at, className, fill, keycap, make } from "./dom.js";
import { things } from "./words.js";

// Digits as on the keyboard, then the letters that no command uses.
const KEYS = [..."1234567890", ..."cdeijkortvy"];

/**
 * The key of each class, undefined where none is left. A class that is called like a key has that one, so that digits
 * are labelled with themselves; the others take what is left, in order. A class that is there no more is null.
 */
export function keysOf(classes) {
  const own = classes.map((name) => KEYS.find((key) => key === name?.toLowerCase()));
  const left = KEYS.filter((key) => !own.includes(key));
  return own.map((key, number) => (classes[number] === null ? undefined : key && own.indexOf(key) === number ? key : left.shift()));
}

/**
 * The class number that a key stands for; -1 for none. Layouts where digits need shift (French) count too: there the
 * key in a digit's place gives a digit.
 */
export function classOfKey(event, keys) {
  const key = event.key.toLowerCase();
  const inPlace = !KEYS.includes(key) && !event.shiftKey && /^Digit\d$/.test(event.code);
  return keys.indexOf(inPlace ? event.code.at(-1) : key);
}

function entry(name, number, key, choose) {
  const button = make(
    "button",
    { type: "button", "aria-keyshortcuts": key, title: name, on: { click: () => choose(number) } },
    key ? keycap(key) : make("kbd", { class: "blank", "aria-hidden": "true" }),
    className(name, number),
    make("span", { class: "count muted" }),
  );
  return make("li", { "data-class": number }, button);
}

/** The list of all classes. choose(number) is called with the class that was clicked. */
export function showPalette(classes, choose) {
  const keys = keysOf(classes);
  fill(at("palette"), ...classes.map((name, number) => (name === null ? null : entry(name, number, keys[number], choose))));
}

/** How many rows have each class now. */
export function showCounts(counts) {
  for (const item of at("palette").children) {
    const count = counts?.[Number(item.dataset.class)];
    const place = item.querySelector(".count");
    place.textContent = count === undefined ? "" : count.toLocaleString("en");
    place.title = count === undefined ? "" : `${things()} with this label now`;
  }
}

/** Classes whose name contains a text, those that begin with it first. Numbers, at most 50. */
export function matching(classes, text) {
  const wanted = text.trim().toLowerCase();
  const found = [...classes.keys()].filter((number) => classes[number]?.toLowerCase().includes(wanted));
  const starts = (number) => Number(!classes[number].toLowerCase().startsWith(wanted));
  return found.sort((a, b) => starts(a) - starts(b) || a - b).slice(0, 50);
}

/** The chooser: type a part of a name, move with the arrows, Enter takes it. create(text): makes a class where none is found. */
export function createPicker(classes, choose, create) {
  const dialog = at("picker");
  const input = make("input", {
    type: "text",
    role: "combobox",
    autocomplete: "off",
    spellcheck: "false",
    "aria-label": "Class, part of its name",
    "aria-expanded": "true",
    "aria-controls": "picker-list",
    placeholder: "class",
  });
  const list = make("ul", { id: "picker-list", role: "listbox", "aria-label": "Classes" });
  let found = [];
  let place = 0;

  function take(number) {
    const text = input.value.trim();
    if (number === undefined && !text) return;
    dialog.close();
    if (number === undefined) create(text);
    else choose(number);
  }

  function option(number, index) {
    return make(
      "li",
      { id: `picker-${index}`, role: "option", "aria-selected": String(index === place), on: { click: () => take(number) } },
      className(classes[number], number),
    );
  }

  function show() {
    fill(list, ...found.map(option));
    if (!found.length) fill(list, make("li", { role: "option", "aria-selected": "true", text: `+ new class “${input.value.trim()}”`, on: { click: () => take() } }));
    input.setAttribute("aria-activedescendant", found.length ? `picker-${place}` : "");
    list.children[place]?.scrollIntoView({ block: "nearest" });
  }

  function search() {
    found = matching(classes, input.value);
    place = 0;
    show();
  }

  input.addEventListener("input", search);
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && found.length) place = (place + step + found.length) % found.length;
    if (step) show();
    if (event.key === "Enter") take(found[place]);
    if (step || event.key === "Enter") event.preventDefault();
  });
  dialog.append(input, list);

  return {
    open() {
      input.value = "";
      dialog.showModal();
      search();
      input.focus();
    },
  };
}
