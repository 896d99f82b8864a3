/** Answers: made from keys and clicks, put into the outbox, shown as saved only when the server says so. */

import { notice, showUnsaved } from "./banners.js";
import { CLASSES, sayingOfClasses } from "./classes.js";
import { askConflict, resolved } from "./conflict.js";
import { counted } from "./dom.js";
import { answersIn, createOutbox, leftBehind } from "./outbox.js";
import { focusOn } from "./selection.js";
import { countedThings, thing, things } from "./words.js";

const ANSWERS = "/api/answers";
const UNDO = "/api/undo";

/** What an answer without a class says of its rows. */
const WORDS = { skip: "skipped", clear: "taken back", none: "of none of these classes", unsure: "not sure", bad: "bad" };

/** What was saved, in words. */
function saying(entry, reply) {
  if (entry.path === CLASSES) return sayingOfClasses(entry.body);
  if (entry.path === UNDO) return reply.nothing ? "Nothing of this tab's is left to undo." : reply.classes ? "A change of classes undone." : `${countedThings(reply.applied.length)} undone.`;
  const { action, label } = entry.body.answers[0];
  const same = entry.body.answers.every((answer) => answer.action === action && answer.label === label);
  const rows = countedThings(entry.body.answers.length);
  if (action !== "label") return `${rows} ${WORDS[action]}, saved.`;
  return same ? `${rows} labelled ${label}, saved.` : `${rows} labelled as shown, saved.`;
}

/**
 * @param {object} parts {identity, list(): the rows on the page, post, get, say(text), saved(entry, reply), kind, number, prefix}
 */
export function createAnswers({ identity, list, post, get, say, saved, kind, number, prefix }) {
  const hear = {
    changed: () => {
      showUnsaved(outbox);
      list()?.paint();
    },
    saved(entry, reply) {
      list().applied(reply.applied ?? []);
      say(saying(entry, reply));
      if (entry.path === UNDO) returnTo(reply.applied ?? []);
      saved(entry, reply);
    },
    conflict: (entry, body) => meet(entry, body.conflicts ?? [], body.error?.message),
    refused(entry, error) {
      if (error.body.error?.code === "FL-W8") {
        // The number was used for something else: nothing was written, and another number can be taken.
        outbox.replace(entry, [{ path: entry.path, body: { ...entry.body, seq: identity.next() } }]);
        return;
      }
      const text = `The server refused ${entry.path === UNDO ? "an undo" : counted(entry.body.answers.length, "answer")}: ${error.message}. Nothing of it was written.`;
      notice(text, "bad", [["Try again", () => outbox.replace(entry, [entry])], ["Give it up", () => outbox.replace(entry, [])]]);
    },
  };
  const outbox = createOutbox(localStorage, prefix + identity.client, post, hear);

  function returnTo(applied) {
    const place = list().selection.order.indexOf(applied[0]?.row);
    if (place >= 0) list().select(focusOn(list().selection, place));
  }

  /** The conflicts with both answers as they are meant: a row that was skipped has no label, and is no empty answer. */
  async function understood(entry, conflicts) {
    const rows = await Promise.all(conflicts.map(({ row }) => get(`/api/rows/${row}`).catch(() => null)));
    list().update(rows.filter((row) => row !== null));
    const own = new Map((entry.body.answers ?? []).map((answer) => [answer.row, answer]));
    const theirs = (row, told) => (row?.skipped ? { action: row.said } : told);
    return conflicts.map((one, place) => ({ ...one, yours: own.get(one.row) ?? null, theirs: theirs(rows[place], one.theirs) }));
  }

  /** Rows where both gave the same answer need no question. */
  const agrees = ({ yours, theirs }) => yours.action === "label" ? yours.label === theirs : theirs !== null && yours.action === theirs.action;

  async function meet(entry, conflicts, message) {
    if (!conflicts.length) { // the classes are no longer as they were when this was asked
      outbox.replace(entry, []);
      if (entry.body.action !== "class") notice(`Not done: ${message}.`);
      return;
    }
    const known = await understood(entry, conflicts);
    if (entry.path === UNDO) {
      outbox.replace(entry, []);
      notice("Not undone: these have been answered again since, here or elsewhere. Their newest answers stand.");
      return;
    }
    const idOf = (row) => list().rows.get(row)?.id ?? `${thing()} ${row}`;
    const open = known.filter((conflict) => !agrees(conflict));
    const mine = open.length ? await askConflict(open, { kind, number, idOf }) : new Set();
    const bodies = resolved(entry.body, conflicts, mine, identity);
    outbox.replace(entry, bodies.map((body) => ({ path: ANSWERS, body })));
    say(mine.size ? `Your answer is sent for ${countedThings(mine.size)}.` : "The answers given elsewhere stand.");
  }

  /** The version that a row will have once all that waits is written. */
  function versionOf(row) {
    const before = outbox.waiting().get(row.row);
    return before ? before.version + 1 : row.version;
  }

  function send(rows, action, labelOf) {
    if (!rows.length) return;
    const answers = rows.map((row) => ({ row: row.row, action, label: labelOf(row), version: versionOf(row) }));
    outbox.add(ANSWERS, { client: identity.client, seq: identity.next(), answers });
    if (action !== "clear" && !list().advance(rows.map(({ row }) => row))) say(`All ${things()} shown are answered${list().hasMore() ? ": Next shows more" : ", and no more follow"}.`);
  }

  const labelNow = (row) => outbox.waiting().get(row.row)?.label ?? row.answer ?? row.label;

  return {
    outbox,
    label: (name) => send(list().targets(), "label", () => name),
    skip: () => send(list().targets(), "skip", () => null),
    none: () => send(list().targets(), "none", () => null),
    unsure: () => send(list().targets(), "unsure", () => null),
    bad: () => send(list().targets(), "bad", () => null),
    changeClasses: (action, name, of) => outbox.add(CLASSES, { client: identity.client, seq: identity.next(), action, name, of }),

    clear() {
      const given = list().targets().filter((row) => row.answer !== null || row.skipped || outbox.waiting().has(row.row));
      send(given, "clear", () => null);
      if (!given.length) say("There is no answer to take back.");
    },

    accept() {
      const rows = list().targets();
      const labelled = rows.filter((row) => labelNow(row) !== null);
      send(labelled, "label", labelNow);
      if (labelled.length < rows.length) say(`${countedThings(rows.length - labelled.length)} without a label: choose a class.`);
    },

    undo() {
      const never = outbox.takeBack();
      if (never) say("Undone before it was sent.");
      else outbox.add(UNDO, { client: identity.client, seq: identity.next() });
    },

    /** Send what waited here before a reload, and what closed tabs left. open: clients of open tabs, or null. */
    resume(open) {
      const left = leftBehind(localStorage, prefix, identity.client, open);
      const entries = left.flatMap((other) => other.entries);
      if (entries.length) {
        outbox.adopt(entries);
        notice(`${counted(answersIn(entries), "answer")} of an earlier tab had not been saved: sent now.`);
      }
      for (const { key } of left) localStorage.removeItem(key);
      outbox.drain();
    },
  };
}
