/** What this page calls the things that are labelled: photos, or rows of a table. */

import { counted } from "./dom.js";

let one = "row";

/** Said once, when the session is known. kind: "images" or "rows". */
export function speakOf(kind) {
  one = kind === "images" ? "photo" : "row";
}

/** "photo", "photos". */
export const thing = () => one;
export const things = () => `${one}s`;

/** "1 photo", "1,200 photos", "3 other photos". */
export const countedThings = (number, which = "") => counted(number, `${which}${one}`);
