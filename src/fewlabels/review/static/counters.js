/** The counter of answers, and the live estimate with what it means. */

import { at, counted } from "./dom.js";
import { thing, things } from "./words.js";

let known = 0; // rows skipped, as told last

/** answered, skipped: numbers of rows; without skipped, as many as last time. */
export function showGiven(answered, skipped = known) {
  known = skipped;
  at("given").textContent = `${counted(answered, "answer")}${skipped ? `, ${skipped.toLocaleString("en")} skipped` : ""}`;
}

const FEW = 10; // answers: fewer say next to nothing, and a range of most of 0 to 100 % alarms
const sample = () => `Every fifth ${thing()} of the queue is drawn at random from all ${things()} without a given label.`;

/** estimate: {num, right, percent or null, low, high}; shares in percent. */
export function showEstimate({ num, right, percent, low, high, until }) {
  const place = at("estimate");
  const known = percent !== null && num >= FEW;
  const shown = (share) => Math.round(share).toLocaleString("en");
  place.querySelector("summary").textContent =
    `Labels right: ${known ? `${shown(percent)}\u00a0% (${shown(low)} to ${shown(high)}\u00a0%)` : `not known yet (about ${until ? counted(until, "more answer") : `${num} of ${FEW}`})`}`;
  place.querySelector(".meaning").textContent = known
    ? `${sample()} ${counted(num, "of them has", "of them have")} an answer so far; asked without it, fewlabels was right about ` +
      `${right.toLocaleString("en")}. The range holds the true share in 95 of 100 cases; it narrows with every such answer.`
    : `${sample()} Once ${FEW} of them have answers, the share that was right stands here, with its range.`;
}
