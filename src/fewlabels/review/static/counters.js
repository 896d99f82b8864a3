/** The counter of labels given, and the live estimate with what it means. */

import { at, counted } from "./dom.js";

let known = 0; // rows skipped, as told last

/** answered, skipped: numbers of rows; without skipped, as many as last time. */
export function showGiven(answered, skipped = known) {
  known = skipped;
  at("given").textContent = `${counted(answered, "label")} given${skipped ? `, ${skipped.toLocaleString("en")} skipped` : ""}`;
}

const FEW = 10; // answers: with fewer the share itself says next to nothing, and only its range is shown
const SAMPLE = "Every fifth row of the queue is drawn at random from all rows without a given label.";

/** estimate: {num, right, percent or null, low, high}; shares in percent. */
export function showEstimate({ num, right, percent, low, high }) {
  const place = at("estimate");
  const has = percent !== null && num > 0;
  const range = has ? `${Math.round(low)} to ${Math.round(high)} %` : "not known yet";
  place.querySelector("summary").textContent =
    `Pseudo-labels right: ${has && num >= FEW ? `${Math.round(percent)} % (${range})` : range}`;
  place.querySelector(".meaning").textContent = has
    ? `${SAMPLE} ${counted(num, "of them has", "of them have")} an answer so far; asked without it, the graph was right about ` +
      `${right.toLocaleString("en")}. The range holds the true share in 95 of 100 cases; it narrows with every such answer.`
    : `${SAMPLE} Once they have answers, the share that the graph had right stands here.`;
}
