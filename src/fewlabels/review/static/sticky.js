/** The header and the bar above the grid stay in sight; how high they are, the style needs to know. */

import { at } from "./dom.js";

/** Keep --head and --bar, in px, as high as the two are. */
export function watchHeights() {
  for (const id of ["head", "bar"]) {
    const measure = () => document.documentElement.style.setProperty(`--${id}`, `${at(id).offsetHeight}px`);
    new ResizeObserver(measure).observe(at(id));
  }
}
