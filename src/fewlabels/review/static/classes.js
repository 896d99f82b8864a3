/** The list of classes while it grows: typed as they come up, renamed, merged; and what the page shows of it. */

import { at, fill, make } from "./dom.js";
import { showPalette } from "./palette.js";

export const CLASSES = "/api/classes";

const live = (classes) => classes.filter((name) => name !== null);

/** A change of classes in words, once it is saved. */
export function sayingOfClasses({ action, name, of }) {
  if (action === "class") return `Class ${name} made, saved.`;
  return action === "rename" ? `Class ${of} is called ${name} now, saved.` : `Class ${of} merged into ${name}, saved; u undoes it.`;
}

/** The name as the server keeps it. */
const tidy = (name) => name.normalize("NFC").trim().replace(/\s+/g, " ");

function showOptions(classes) {
  const select = at("filters").elements.class;
  const now = select.value;
  fill(select, make("option", { value: "", text: "all" }), ...live(classes).map((name) => make("option", { value: name, text: name })));
  select.value = live(classes).includes(now) ? now : "";
}

/** The dialog that renames a class or merges it into another. */
function createEditor(classes, send) {
  const dialog = at("class-editor");
  return (name) => {
    const done = (action, to) => {
      dialog.close();
      send(action, to, name);
    };
    const text = make("input", { type: "text", value: name, maxlength: 200, autocomplete: "off", "aria-label": "New name" });
    const others = live(classes).filter((other) => other !== name);
    const into = make("select", { "aria-label": "Merge into" }, ...others.map((other) => make("option", { value: other, text: other })));
    const rename = (event) => {
      event.preventDefault();
      const wanted = tidy(text.value);
      if (wanted && wanted !== name) done("rename", wanted);
    };
    const merge = (event) => {
      event.preventDefault();
      done("merge", into.value);
    };
    fill(dialog,
      make("h2", { id: "class-editor-heading", text: `The class ${name}` }),
      make("form", { class: "line", on: { submit: rename } }, text, make("button", { text: "Rename" })),
      others.length ? make("form", { class: "line", on: { submit: merge } }, "Merge into ", into, make("button", { text: "Merge" })) : null,
      make("button", { type: "button", text: "Cancel", on: { click: () => dialog.close() } }));
    dialog.showModal();
    text.select();
  };
}

/**
 * @param {object} parts {session, send(action, name, of), label(name) of the targets, back() to the grid}
 */
export function createClasses({ session, send, label, back }) {
  const { classes } = session;
  const edit = createEditor(classes, send);
  const form = at("new-class");
  const input = form.elements.name;

  function draw() {
    showPalette(classes, (number) => label(classes[number]));
    for (const item of at("palette").children) {
      const name = classes[Number(item.dataset.class)];
      item.append(make("button", { type: "button", class: "edit", "aria-label": `Rename or merge ${name}`, title: "rename or merge", text: "…", on: { click: () => edit(name) } }));
    }
    showOptions(classes);
  }

  const page = {
    /**
     * The list as the server has it now; whether it is another. Places are the numbers of the classes; null where one is
     * there no more.
     */
    set(names) {
      if (!names || (names.length === classes.length && names.every((name, number) => name === classes[number]))) return false;
      classes.splice(0, classes.length, ...names);
      draw();
      return true;
    },

    /** Give the targets this class, which is made where there is none of the name. Answers and classes go out in order. */
    name(text) {
      const name = tidy(text);
      if (!name) return;
      if (!classes.includes(name)) {
        send("class", name, "");
        page.set([...classes, name]); // until the server has said its number
      }
      label(name);
    },

    type: () => input.focus(),
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = input.value;
    input.value = "";
    back();
    page.name(text);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    input.value = "";
    back();
    event.stopPropagation();
  });
  draw();
  return page;
}
