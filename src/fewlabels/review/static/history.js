/** The history of answers in a dialog: the newest first, a page at a time, of all rows or of one. */

import { at, className, cutName, counted, fill, make, picture } from "./dom.js";
import { singleKeys } from "./keys.js";
import { lastPart } from "./tile.js";
import { countedThings } from "./words.js";

const PAGE = 24; // entries: one for each answer to one row or several, and for each undo
const MOST = 8; // rows of an entry, until its others are asked for
const WHEN = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** A row's answer in words. */
const SAID = { none: "none of these", unsure: "not sure", bad: "bad photo" };
const worded = (label, skipped, said) => label ?? SAID[said] ?? (skipped ? "skipped" : "no answer");

const shownAs = (label, skipped, number, said) =>
  label === null ? make("span", { class: "name muted", text: worded(label, skipped, said) }) : className(label, number(label));

/** What was done, in words: an answer's deed, as all its rows have it. */
function deed({ kind, rows, undoes, classes }) {
  if (classes?.length) {
    const [{ before, after, into }] = classes;
    const what = into !== null ? `${before} merged into ${into}` : before === null ? `Class ${after} made` : after === null ? `Class ${before} taken back` : `${before} is called ${after}`;
    return kind === "undo" ? `Undo of #${undoes}: ${what}` : what;
  }
  if (kind === "undo") return undoes === null ? "Undo: nothing was left" : `Undo of #${undoes}: ${countedThings(rows.length)}`;
  const did = new Set(rows.map(({ after, skipped, said }) => (skipped ? (SAID[said] ?? "skipped") : after === null ? "taken back" : "labelled")));
  return `${countedThings(rows.length)} ${did.size === 1 ? [...did][0] : "answered"}`;
}

function pastRow(event, { row, id, before, after, skipped_before: wasSkipped, skipped, said: how }, { kind, number, open }) {
  const said = `${id}: ${worded(before, wasSkipped)} became ${worded(after, skipped, how)}. Show it`;
  const shown = kind === "images" ? make("img", { src: picture(row), alt: "", loading: "lazy" }) : null;
  const facts = make("span", { class: "facts" },
    make("span", { class: "id" }, cutName(lastPart(id))),
    make("span", { class: "became" },
      shownAs(before, wasSkipped, number), make("span", { "aria-hidden": "true", text: "→" }), shownAs(after, skipped, number, how)));
  const properties = { type: "button", "aria-label": said, title: id, "data-place": `${event}-${row}`, on: { click: () => open(row) } };
  return make("li", {}, make("button", properties, shown, facts));
}

function entry(one, page) {
  const rows = make("ul", { class: "past" }, ...one.rows.slice(0, MOST).map((row) => pastRow(one.event, row, page)));
  const others = one.rows.slice(MOST);
  const unfold = () => {
    rows.lastChild.replaceWith(...others.map((row) => pastRow(one.event, row, page)));
    rows.children[MOST].querySelector("button").focus();
  };
  if (others.length) rows.append(make("li", {}, make("button", { type: "button", class: "more", text: countedThings(others.length, "more "), on: { click: unfold } })));
  return make("li", { class: "entry", "data-event": one.event },
    make("div", { class: "line" },
      make("h3", { text: deed(one) }),
      one.undone ? make("span", { class: "badge", text: "undone since" }) : null,
      make("span", { class: "muted num" }, make("time", { datetime: one.when, text: WHEN.format(new Date(one.when)) }), ` #${one.event}`)),
    one.rows.length ? rows : null);
}

/** The parts of the dialog that stay while its pages are turned. */
function frame(dialog, turn, close) {
  const button = (text, key, to) =>
    make("button", { type: "button", "aria-keyshortcuts": key, on: { click: () => turn(to) } }, text, key ? make("kbd", { text: key }) : null);
  const parts = {
    only: make("input", { type: "checkbox", on: { change: () => turn("newest") } }),
    name: make("bdi"),
    shown: make("p", { class: "muted", role: "status" }),
    newer: [button("Newest", null, "newest"), button("Newer ", "p", "newer")],
    older: [button("Older ", "n", "older"), button("Oldest", null, "oldest")],
    entries: make("ul", { class: "entries" }),
  };
  parts.choice = make("label", { class: "check cut" }, parts.only, " Only of ", parts.name);
  fill(dialog,
    make("div", { class: "top-of-history" },
      make("div", { class: "head" },
        make("h2", { id: "history-heading", text: "History of answers" }),
        make("button", { type: "button", "aria-label": "Close", on: { click: close } }, make("kbd", { text: "Esc" }), " close")),
      parts.choice,
      make("div", { class: "shown" }, parts.shown, make("span", { class: "pager" }, ...parts.newer, ...parts.older))),
    parts.entries);
  dialog.tabIndex = -1;
  return parts;
}

/** Where a page begins after a turn. */
function turned(to, first, total) {
  const last = Math.floor(Math.max(total - 1, 0) / PAGE) * PAGE;
  return { newest: 0, newer: Math.max(first - PAGE, 0), older: Math.min(first + PAGE, last), oldest: last, same: Math.min(first, last) }[to];
}

/** Up and down through the rows of all entries, as far as there are any. */
function step(dialog, distance) {
  const buttons = [...dialog.querySelectorAll(".entries button")];
  const now = buttons.indexOf(document.activeElement);
  buttons[now < 0 ? 0 : Math.min(Math.max(now + distance, 0), buttons.length - 1)]?.focus();
}

/**
 * @param {object} parts {get, kind, number(name), open(row number)}
 */
export function createHistory({ get, kind, number, open }) {
  const dialog = at("history");
  const parts = frame(dialog, (to) => turn(to), () => dialog.close());
  let [first, total, asked, row] = [0, 0, 0, undefined];

  function show(reply) {
    const place = dialog.contains(document.activeElement) ? document.activeElement.dataset.place : undefined;
    total = reply.total;
    fill(parts.entries, ...reply.events.map((one) => entry(one, { kind, number, open })));
    const last = first + reply.events.length;
    parts.shown.textContent = total ? `${(first + 1).toLocaleString("en")} to ${last.toLocaleString("en")} of ${counted(total, "entry", "entries")}` : "No answers yet.";
    for (const button of parts.newer) button.disabled = first === 0;
    for (const button of parts.older) button.disabled = last >= total;
    const same = place && parts.entries.querySelector(`[data-place="${place}"]`);
    if (same) same.focus();
    else if (!dialog.contains(document.activeElement) || document.activeElement.disabled) dialog.focus();
  }

  async function turn(to) {
    const ask = ++asked;
    const wanted = turned(to, first, total);
    try {
      const reply = await get("/api/history", { first: wanted, count: PAGE, row: parts.only.checked ? row?.row : null });
      if (ask !== asked) return;
      first = wanted;
      show(reply);
      if (to !== "same") dialog.scrollTo({ top: 0 });
    } catch (error) {
      if (ask !== asked) return;
      parts.shown.textContent = `The history cannot be loaded: ${error.message}`;
      fill(parts.entries, make("li", {}, make("button", { type: "button", text: "Try again", on: { click: () => turn(to) } })));
    }
  }

  const keys = { n: () => parts.older[0].click(), p: () => parts.newer[1].click(), h: () => dialog.close() };
  const moves = { ArrowDown: 1, ArrowUp: -1 };
  dialog.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = moves[event.key] ? () => step(dialog, moves[event.key]) : singleKeys() && keys[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation(); // a key that closes the dialog must not open it again
    act();
  });
  // A row that was looked at from here may have another answer now.
  at("zoom").addEventListener("close", () => dialog.open && turn("same"));

  return {
    /** Open it. one: the row whose own history can be seen, or undefined; only: begin with that. */
    open(one, only) {
      row = one;
      [first, total] = [0, 0];
      parts.choice.hidden = !row;
      parts.name.textContent = row ? lastPart(row.id) : "";
      parts.only.checked = Boolean(row) && only;
      parts.shown.textContent = "";
      fill(parts.entries);
      if (!dialog.open) dialog.showModal();
      dialog.focus();
      turn("newest");
    },
  };
}
