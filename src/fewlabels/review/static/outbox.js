/**
 * What the server has not acknowledged yet: kept in localStorage, sent in order, one request at a time.
 *
 * An entry is {path, body, sent}. It leaves when the server has answered 200, or when the person gave it up. A request
 * that got no answer is sent again with the same (client, seq), which the server does not carry out twice.
 */

import { Refused } from "./api.js";

const FIRST_WAIT = 500; // ms before the second attempt; doubled up to the longest
const LONGEST_WAIT = 8_000;
const SLOW = 2_000; // ms without an answer until the person is told

const isEntry = (entry) => typeof entry?.path === "string" && typeof entry?.body === "object" && entry.body !== null;

/** How many answers entries have; an undo counts as one. */
export const answersIn = (entries) => entries.reduce((sum, { body }) => sum + (body.answers?.length ?? 1), 0);

function read(storage, key) {
  try {
    const found = JSON.parse(storage.getItem(key));
    return Array.isArray(found) ? found.filter(isEntry) : [];
  } catch {
    return [];
  }
}

/** Take over what tabs of this run that are closed by now left behind. Entries keep their client and number. */
export function leftBehind(storage, prefix, own, open) {
  if (open === null) return [];
  const keys = Object.keys(storage).filter((key) => key.startsWith(prefix) && key !== prefix + own);
  const orphans = keys.filter((key) => !open.has(key.slice(prefix.length)));
  return orphans.map((key) => ({ key, entries: read(storage, key) }));
}

/**
 * @param {Storage} storage where entries are kept
 * @param {string} key under which name
 * @param {Function} post (path, body) -> promise of the reply
 * @param {object} hear {changed(), saved(entry, reply), conflict(entry, body), refused(entry, error)}
 */
export function createOutbox(storage, key, post, hear) {
  let entries = read(storage, key);
  let busy = false;
  let held = false; // the first entry waits for the person: a conflict, or a refusal
  let wait = FIRST_WAIT;
  let timer = null;
  const outbox = { trouble: null, kept: true };

  function keep() {
    try {
      if (entries.length) storage.setItem(key, JSON.stringify(entries));
      else storage.removeItem(key);
      outbox.kept = true;
    } catch {
      outbox.kept = false;
    }
    hear.changed();
  }

  function later() {
    clearTimeout(timer);
    timer = setTimeout(outbox.drain, wait);
    wait = Math.min(2 * wait, LONGEST_WAIT);
  }

  /** Versions of later entries on the same rows, never sent so far, follow what the server has now. */
  function follow(applied) {
    const newest = new Map(applied.map(({ row, version }) => [row, version]));
    for (const entry of entries.filter(({ sent, body }) => !sent && body.answers)) {
      for (const answer of entry.body.answers.filter(({ row }) => newest.has(row))) {
        answer.version = newest.get(answer.row);
        newest.set(answer.row, answer.version + 1);
      }
    }
  }

  function fail(entry, error) {
    const status = error instanceof Refused ? error.status : 0;
    const passes = status === 0 || status >= 500 || status === 401 || status === 403 || status === 429;
    if (passes) {
      outbox.trouble = { status, message: error.message };
      later();
    } else {
      outbox.trouble = null;
      held = true;
    }
    hear.changed();
    if (status === 409) hear.conflict(entry, error.body);
    else if (!passes) hear.refused(entry, error);
  }

  /** Send one; whether the next may follow at once. */
  async function deliver(entry) {
    entry.sent = true;
    keep();
    const slow = setTimeout(() => {
      outbox.trouble ??= { status: "slow", message: "" };
      hear.changed();
    }, SLOW);
    try {
      const reply = await post(entry.path, entry.body);
      entries = entries.filter((other) => other !== entry);
      follow(reply.applied ?? []);
      outbox.trouble = null;
      wait = FIRST_WAIT;
      keep();
      hear.saved(entry, reply);
      return true;
    } catch (error) {
      fail(entry, error);
      return !held && outbox.trouble === null; // it was replaced by another
    } finally {
      clearTimeout(slow);
    }
  }

  outbox.drain = async () => {
    if (busy || held) return;
    clearTimeout(timer);
    busy = true;
    try {
      while (entries.length && !held && (await deliver(entries[0])));
    } finally {
      busy = false;
    }
  };

  /** Put a request at the end and send what waits. */
  outbox.add = (path, body) => {
    entries.push({ path, body, sent: false });
    keep();
    outbox.drain();
  };

  /** Put other requests in the place of one that was held, and go on. */
  outbox.replace = (entry, others) => {
    entries = entries.flatMap((other) => (other === entry ? others.map((one) => ({ ...one, sent: false })) : [other]));
    held = false;
    outbox.trouble = null;
    keep();
    outbox.drain();
  };

  /** Take entries of another tab to the end of this one's. */
  outbox.adopt = (others) => {
    entries.push(...others);
    keep();
  };

  /** Take back the newest entry if it has answers and has never been sent; returns it or null. */
  outbox.takeBack = () => {
    const newest = entries.at(-1);
    if (!newest?.body.answers || newest.sent) return null; // an undo is not undone by another: both count
    entries.pop();
    keep();
    return newest;
  };

  /** Try at once: the network is back, or the person asks. */
  outbox.retry = () => {
    wait = FIRST_WAIT;
    outbox.drain();
  };

  /** How many answers and undos are not acknowledged. */
  outbox.size = () => answersIn(entries);

  /** Map of row -> the newest {row, action, label, version} that waits. */
  outbox.waiting = () => {
    const newest = new Map();
    for (const { body } of entries) for (const answer of body.answers ?? []) newest.set(answer.row, answer);
    return newest;
  };

  return outbox;
}
