/** What is not as it should be, in plain words: unsaved answers, a closed session, a full disk, refused answers. */

import { at, counted, fill, make } from "./dom.js";

const CLOSED = "This page's session has ended. Start `fewlabels review` again for this run and open the address that it prints";

/** Why nothing is saved at the moment, and what to do. trouble: {status, message}. */
function because({ status, message }) {
  if (status === 401 || status === 403) return `${CLOSED}. They are sent then, if the address has the same port and it is the same browser.`;
  if (status === 507) return "The disk is full where fewlabels runs. Free some space there; sending is tried again by itself.";
  if (status === "slow") return "The server takes its time over it.";
  if (status === 0) return "The server does not answer: is `fewlabels review` still running, and the network there? Sending is tried again by itself.";
  return `The server says: ${message}. Sending is tried again by itself.`;
}

function unsaved(outbox) {
  const short = outbox.trouble.status === 507 ? "Not saved, disk full" : "Not saved yet";
  const kept = outbox.kept ? "kept in this browser" : "NOT kept in this browser's storage: do not close this tab";
  return make("div", { class: "banner bad", role: "alert" },
    make("strong", { text: `${short}: ${outbox.size()}. ` }),
    make("span", { text: `They are ${kept}. ${because(outbox.trouble)}` }),
    make("button", { type: "button", text: "Try now", on: { click: outbox.retry } }));
}

/** Show or hide the banner about unsaved answers. An alert is spoken when it appears, so it is only made anew if it says something new. */
export function showUnsaved(outbox) {
  const place = at("banners");
  const old = place.querySelector(".unsaved");
  const made = outbox.trouble && outbox.size() ? unsaved(outbox) : null;
  if (old && made && old.textContent === made.textContent) return;
  old?.remove();
  if (!made) return;
  made.classList.add("unsaved");
  place.prepend(made);
}

/** A notice that stays until it is closed. buttons: [[text, action]]; each closes it. */
export function notice(text, kind = "plain", buttons = [["Close", () => {}]]) {
  const banner = make("div", { class: `banner ${kind}`, role: kind === "bad" ? "alert" : "status" }, make("span", { text }));
  for (const [name, action] of buttons) {
    const close = () => {
      banner.remove();
      action();
    };
    banner.append(make("button", { type: "button", text: name, on: { click: close } }));
  }
  at("banners").append(banner);
}

/** The page could not even begin. */
export function showNoStart(error) {
  const closed = error.status === 401 || error.status === 403;
  const text = closed ? `${CLOSED}.` : `The page cannot start: ${error.message}. Is \`fewlabels review\` still running? Reload once it is.`;
  fill(at("banners"), make("div", { class: "banner bad", role: "alert", text }));
}
