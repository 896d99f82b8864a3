/** Finishing a labelling: the button, what it will do, how far it is, and what comes next. */

import { at, counted, fill, make } from "./dom.js";
import { things } from "./words.js";

const PATH = "/api/finish";
const PAUSE = 700; // ms between two looks at how far it is

const close = (dialog, text) => make("button", { type: "button", text, on: { click: () => dialog.close() } });

/** What can be done with a finished labelling, each with its command. */
function steps(next) {
  return make("dl", { class: "next" }, ...next.flatMap(({ what, command }) => [make("dt", { text: what }), make("dd", {}, make("code", { text: command }))]));
}

/**
 * The button and its dialog.
 * @param {object} parts {get, post, session, unsaved(): answers that wait to be saved, say(text) to screen readers}
 */
export function createFinish({ get, post, session, unsaved, say }) {
  const [button, dialog] = [at("open-finish"), at("finish")];
  let now = session.finishing;
  button.hidden = now.state === "none";

  function ask() {
    const waiting = unsaved();
    return [
      make("p", { text: `Your answers are spread over all ${things()} by settings that they choose. Labels, results and a report are written into the run, and it is sealed: train, classify and export take it from then on.` }),
      make("p", { class: "muted", text: "Answers that you give later are kept beside it, and change nothing that was written." }),
      waiting ? make("p", { class: "trouble", role: "alert", text: `${counted(waiting, "answer")} not saved yet: wait until the page has saved them.` }) : null,
      now.state === "failed" ? make("p", { class: "trouble", role: "alert", text: `It could not be finished: ${now.problem}` }) : null,
      make("div", { class: "line" },
        make("button", { type: "button", class: "strong", disabled: waiting > 0, text: "Finish", on: { click: begin } }),
        close(dialog, "Go on labelling")),
    ];
  }

  function draw() {
    const heading = make("h2", { id: "finish-heading", text: now.state === "done" ? "Finished" : "Finish this labelling" });
    const parts = {
      running: () => [make("p", { role: "status", text: "Spreading the answers, writing labels and the report …" }), make("progress", { "aria-label": "Finishing" }), close(dialog, "Close")],
      done: () => [make("p", { text: now.said }), make("p", { text: "What comes next, in the terminal:" }), steps(now.next), close(dialog, "Close")],
    };
    fill(dialog, heading, ...(parts[now.state] ?? ask)());
    button.textContent = { running: "Finishing …", done: "Finished" }[now.state] ?? "Finish";
    dialog.querySelector("button:not([disabled])")?.focus();
  }

  async function follow() {
    while (now.state === "running") {
      await new Promise((done) => setTimeout(done, PAUSE));
      now = await get(PATH).catch(() => now);
    }
    if (now.state === "done") say(`Finished. ${now.said}`);
    if (now.state === "failed") say(`Not finished: ${now.problem}`);
    draw();
  }

  async function begin() {
    try {
      now = await post(PATH, {});
    } catch (error) {
      now = { ...now, state: "failed", problem: error.message };
    }
    draw();
    await follow();
  }

  button.addEventListener("click", () => {
    dialog.showModal();
    draw();
  });
  if (now.state === "running") follow();
}
