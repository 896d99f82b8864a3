/** The page before there is anything to answer: how far the describing of photos is, and what went wrong. */

import { get } from "./api.js";
import { at, counted, fill, make } from "./dom.js";

const PAUSE = 500; // ms between two looks

/** "a few seconds", "40 seconds", "3 minutes". */
function timeLeft(seconds) {
  if (seconds < 10) return "a few seconds";
  return seconds < 100 ? counted(Math.round(seconds / 10) * 10, "second") : counted(Math.round(seconds / 60), "minute");
}

function describe({ state, done, total, seconds }) {
  if (state !== "describing") return "Looking for what is alike …";
  const left = seconds === null ? "" : `, about ${timeLeft(seconds)} left`;
  return `${done.toLocaleString("en")} of ${counted(total, "photo")} described${left}`;
}

function build() {
  const bar = make("progress", { "aria-labelledby": "opening-heading" });
  const text = make("p", { class: "figure" });
  fill(at("opening"),
    make("h1", { id: "opening-heading", text: "Getting ready" }),
    bar,
    text,
    make("p", { class: "muted", text: "Each photo is described once, and kept: stopped and started again, it goes on from here. The first question comes by itself." }));
  at("opening").hidden = false;
  return [bar, text];
}

function show(now, [bar, text]) {
  text.textContent = describe(now);
  if (now.state === "describing" && now.total) [bar.max, bar.value] = [now.total, now.done];
  else bar.removeAttribute("value");
}

/** Wait until the review is open, showing how far it is. Never returns where it failed. say: to screen readers. */
export async function waitUntilOpen(say) {
  let [parts, told] = [null, -1];
  for (;;) {
    const now = await get("/api/opening");
    if (now.state === "ready") break;
    parts ??= build();
    if (now.state === "failed") {
      fill(at("opening"), make("p", { class: "banner bad", role: "alert", text: `It cannot be labelled: ${now.problem}. The terminal says the same; start \`fewlabels label\` again once that is mended.` }));
      return new Promise(() => {});
    }
    show(now, parts);
    const tenth = now.total ? Math.floor((10 * now.done) / now.total) : 0;
    if (tenth !== told) say(describe(now));
    told = tenth;
    await new Promise((done) => setTimeout(done, PAUSE));
  }
  at("opening").hidden = true;
  for (const part of document.querySelectorAll(".top, .columns")) part.hidden = false;
  return undefined;
}
