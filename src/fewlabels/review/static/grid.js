/** The grid of tiles: as many columns as fit, one of the tiles in the tab order. */

import { make } from "./dom.js";
import { makeTile, paint } from "./tile.js";

const NARROWEST = { images: 132, rows: 300 }; // px
const GAP = 10;

/**
 * @param {Element} root
 * @param {object} hear {pointed(place, event), opened(place)}
 */
export function createGrid(root, hear) {
  let tiles = new Map(); // row number -> element
  let kind = "images";
  const grid = { columns: 1 };

  const fitting = () => Math.max(Math.floor((root.clientWidth + GAP) / (NARROWEST[kind] + GAP)), kind === "images" ? 2 : 1);

  function arrange() {
    grid.columns = fitting();
    const cells = [...tiles.values()];
    const focus = root.contains(document.activeElement) ? document.activeElement : null;
    const lines = [];
    for (let start = 0; start < cells.length; start += grid.columns) {
      lines.push(make("div", { role: "row", class: "row" }, ...cells.slice(start, start + grid.columns)));
    }
    root.style.setProperty("--columns", String(grid.columns));
    root.replaceChildren(...lines);
    if (focus?.isConnected) focus.focus({ preventScroll: true }); // moving an element in the tree takes its focus
  }

  function placeOf(event) {
    const tile = event.target.closest?.(".tile");
    return tile ? [...tiles.values()].indexOf(tile) : -1;
  }

  root.addEventListener("click", (event) => {
    const place = placeOf(event);
    if (place >= 0) hear.pointed(place, event);
  });
  root.addEventListener("dblclick", (event) => {
    const place = placeOf(event);
    if (place >= 0) hear.opened(place);
  });
  root.addEventListener("mousedown", (event) => {
    if (event.shiftKey) event.preventDefault(); // no text is selected by shift-click
  });
  new ResizeObserver(() => {
    if (fitting() !== grid.columns) arrange();
  }).observe(root);

  /** Show these rows. */
  grid.show = (rows, what) => {
    kind = what;
    tiles = new Map(rows.map((row) => [row.row, makeTile(row, kind)]));
    arrange();
  };

  /** Bring the tiles of these rows up to date. */
  grid.paint = (rows, waiting, number) => {
    for (const row of rows) {
      if (tiles.has(row.row)) paint(tiles.get(row.row), row, waiting.get(row.row), number);
    }
  };

  /** Show focus and selection; `take` moves the keyboard's focus there as well. */
  grid.select = ({ order, focus, selected }, take) => {
    for (const [place, row] of order.entries()) {
      const tile = tiles.get(row);
      tile.setAttribute("aria-selected", String(selected.has(row)));
      tile.tabIndex = place === focus ? 0 : -1;
      tile.classList.toggle("is-focus", place === focus);
      if (take && place === focus) tile.focus();
    }
  };

  /** Whether the keyboard's focus is in the grid, or nowhere. */
  grid.hasFocus = () => root.contains(document.activeElement) || document.activeElement === document.body;

  return grid;
}
