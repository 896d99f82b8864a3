/** The review page: puts its parts together. What each does stands at the top of its file. */

import { createAnswers } from "./answers.js";
import { get, post } from "./api.js";
import { notice, showNoStart } from "./banners.js";
import { showEstimate, showGiven } from "./counters.js";
import { at, fill, keycap, make } from "./dom.js";
import { openFilters } from "./filters.js";
import { createFinish } from "./finish.js";
import { createFollower } from "./follower.js";
import { createGrid } from "./grid.js";
import { createHistory } from "./history.js";
import { openClient, openClients } from "./identity.js";
import { listen, showHelp } from "./keys.js";
import { createList } from "./list.js";
import { createClasses } from "./classes.js";
import { createMany, showAlike } from "./cluster.js";
import { closeMenu, watchMenus } from "./menus.js";
import { showMoved, showNotMoved, told } from "./moved.js";
import { waitUntilOpen } from "./opening.js";
import { createPicker, keysOf, showCounts } from "./palette.js";
import { createPanels } from "./panels.js";
import * as choose from "./selection.js";
import { watchHeights } from "./sticky.js";
import { speakOf } from "./words.js";

const BUTTONS = [
  ["Accept", "Enter", "accept"],
  ["Skip", "s", "skip"],
  ["None of these", "x", "none"],
  ["Not sure", "q", "unsure"],
  ["Bad photo", "b", "bad"],
  ["Undo", "u", "undo"],
  ["Why", "w", "why"],
  ["Enlarge", "z", "zoom"],
  ["Select all", "a", "all"],
  ["Find class", "/", "pick"],
  ["Alike", "g", "alike"],
  ["Label all of these", "m", "many"],
];

/** Tell screen readers; the last few texts stay, so that none is swallowed by the next. */
function say(text) {
  at("live").append(make("p", { text }));
  while (at("live").children.length > 5) at("live").firstChild.remove();
}

/** The figures at the top and the counts of classes, those that a reply has. */
function showFigures(reply) {
  if (reply.answered !== undefined) showGiven(reply.answered, reply.skipped);
  if (reply.estimate) showEstimate(reply.estimate);
  if (reply.settings !== undefined) at("settings").textContent = reply.settings;
  if (reply.calm !== undefined) at("calm").hidden = !reply.calm;
  if (reply.counts) showCounts(reply.counts);
}

const refreshFigures = async () => showFigures(await get("/api/session").catch(() => ({})));

/** What the page does when the graph has moved. */
function onMoved(page) {
  return async (reply) => {
    showMoved(reply, page.panels.view);
    if (page.classes.set(reply.classes)) page.list.renamed();
    showFigures(reply);
    page.list.update(reply.moved.map(({ row, after, certainty }) => ({ row, label: after, certainty })));
    say(told(reply));
    if (page.answers.outbox.size()) return; // more is coming: the rows are asked for once, after the last
    await Promise.all([page.list.refresh(), refreshFigures()]);
    page.panels.later();
  };
}

/** What a click on a tile does: focus alone; with a key, the corner or a finger, selection. */
function onPointed(page) {
  return (place, event) => {
    const pick = event.ctrlKey || event.metaKey || event.target.closest(".pick") || event.pointerType === "touch";
    const change = event.shiftKey ? choose.extend : pick ? choose.toggle : choose.only;
    page.list.select(change(page.list.selection, place));
  };
}

function build(session, identity, prefix) {
  const number = (name) => (name === null || name === undefined ? -1 : session.classes.indexOf(name)); // it grows
  const page = { session };
  const common = { get, post, number, kind: session.kind, list: () => page.list };
  const saved = (entry, reply) => {
    // What was skipped moves nothing: the strip keeps what the last label moved.
    showGiven(reply.answered);
    if (reply.classes && entry.body.action !== "class") page.list.renamed();
    page.classes.set(reply.classes);
    const moves = entry.body.answers?.some(({ action }) => !["skip", "unsure", "bad"].includes(action)) ?? !reply.nothing;
    if (moves) page.follower.want(reply.event);
    else refreshFigures();
  };
  page.answers = createAnswers({ ...common, identity, prefix, say, saved });
  const waiting = page.answers.outbox.waiting;
  const label = (name) => page.answers.label(name);
  page.panels = createPanels({ ...common, waiting, classes: session.classes, label });
  page.past = createHistory({ ...common, open: page.panels.enlarge });
  page.follower = createFollower(get, onMoved(page), showNotMoved, session.event);
  page.grid = createGrid(at("grid"), {
    pointed: onPointed(page),
    opened: (place) => page.panels.enlarge(page.list.selection.order[place]),
  });
  page.form = openFilters(session.classes, () => page.list.load(0, false));
  page.list = createList({ ...common, grid: page.grid, form: page.form, session, waiting, chosen: page.panels.follow });
  const back = () => page.list.select(page.list.selection);
  page.classes = createClasses({ session, send: page.answers.changeClasses, label, back });
  const targets = () => page.list.targets();
  createFinish({ get, post, session, unsaved: page.answers.outbox.size, say });
  page.many = createMany({ get, number, classes: session.classes, targets, name: page.classes.name });
  return page;
}

/** Everything a key or a button can do, by name. */
function actionsOf({ session, answers, panels, past, list, grid, form, classes, many }) {
  const label = (number) => answers.label(session.classes[number]);
  const picker = createPicker(session.classes, label, classes.name);
  const select = (change) => list.select(change(list.selection));
  return {
    ...answers,
    label,
    pick: picker.open,
    type: classes.type,
    many,
    alike: () => panels.current() && showAlike(form, panels.current()),
    why: panels.why,
    zoom: panels.zoom,
    history: () => past.open(panels.current(), panels.closeZoom()),
    all: () => select(choose.everything),
    toggle: () => list.rows.size && select((now) => choose.toggle(now, now.focus)),
    escape: () => closeMenu() || (list.selection.selected.size || at("why").hidden ? select(choose.nothing) : panels.closeWhy()),
    find: () => form.elements.text.focus(),
    next: list.next,
    previous: list.previous,
    help: showHelp,
    move: (place, extend) => list.select((extend ? choose.extend : choose.focusOn)(list.selection, place), !at("zoom").open),
    selection: () => list.selection,
    columns: () => grid.columns,
    inGrid: grid.hasFocus,
    get classKeys() {
      return keysOf(session.classes);
    },
  };
}

function connect(actions) {
  listen(actions);
  watchMenus();
  const button = ([text, key, name]) =>
    make("button", { type: "button", "aria-keyshortcuts": key, on: { click: () => actions[name]() } }, `${text} `, keycap(key));
  fill(at("actions"), ...BUTTONS.map(button));
  at("next").addEventListener("click", () => actions.next());
  at("previous").addEventListener("click", () => actions.previous());
  at("open-history").addEventListener("click", () => actions.history());
  at("open-help").addEventListener("click", showHelp);
}

/** Waiting answers go out when there is hope: the network is back, or the laptop awake. */
function wake({ answers, list }) {
  addEventListener("online", () => answers.outbox.retry());
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState !== "visible") return;
    answers.outbox.retry();
    list.refresh();
    refreshFigures();
  });
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  addEventListener("beforeunload", (event) => {
    if (answers.outbox.trouble && answers.outbox.size()) event.preventDefault();
  });
}

async function start() {
  await waitUntilOpen(say);
  watchHeights();
  const session = await get("/api/session");
  speakOf(session.kind);
  const identity = await openClient(session.run);
  at("title").textContent = session.title;
  at("run").textContent = session.run.split(/[\\/]/).slice(-2).join("/");
  at("run").title = session.run;
  document.title = `${session.title} · review · fewlabels`;
  const page = build(session, identity, `fewlabels:unsaved:${session.run}:`);
  connect(actionsOf(page));
  showFigures(session);
  if (session.note) notice(session.note);
  wake(page);
  await page.list.load(0, document.activeElement === document.body);
  page.answers.resume(await openClients());
}

start().catch(showNoStart);
