/** Focus and selection in a list of rows: pure functions of {order, focus, anchor, selected}. */

/** Nothing selected, focus on the first row. order: row numbers as shown. */
export const startSelection = (order) => ({ order, focus: 0, anchor: 0, selected: new Set() });

const within = (order, place) => Math.min(Math.max(place, 0), Math.max(order.length - 1, 0));

/** The row that has the focus; undefined in an empty list. */
export const focused = ({ order, focus }) => order[focus];

/** The rows that an answer goes to, in order: those selected, else the one with the focus. */
export function targets(state) {
  if (state.selected.size) return state.order.filter((row) => state.selected.has(row));
  return state.order.length ? [focused(state)] : [];
}

/** Focus moved to a place; the selection stays. */
export const focusOn = (state, place) => ({ ...state, focus: within(state.order, place), anchor: within(state.order, place) });

/** Focus on a place, and nothing selected. */
export const only = (state, place) => ({ ...focusOn(state, place), selected: new Set() });

/** A place added to the selection or taken out of it, and focused. */
export function toggle(state, place) {
  const selected = new Set(state.selected);
  const row = state.order[place];
  if (!selected.delete(row)) selected.add(row);
  return { ...focusOn(state, place), selected };
}

/** From the anchor to a place selected, besides what was; the anchor stays. */
export function extend(state, place) {
  const end = within(state.order, place);
  const [low, high] = [Math.min(state.anchor, end), Math.max(state.anchor, end)];
  const selected = new Set([...state.selected, ...state.order.slice(low, high + 1)]);
  return { ...state, focus: end, selected };
}

/** All that is shown. */
export const everything = (state) => ({ ...state, selected: new Set(state.order) });

/** Nothing selected. */
export const nothing = (state) => ({ ...state, selected: new Set() });

/**
 * Where the focus goes after an answer: the first row behind the last one answered that is open, else the first open
 * row of all, else where it is. `open` tells of a row whether it waits for an answer.
 */
export function afterAnswer(state, answered, open) {
  const last = Math.max(...answered.map((row) => state.order.indexOf(row)), 0);
  const places = [...state.order.keys()].filter((place) => open(state.order[place]));
  return only(state, places.find((place) => place > last) ?? places[0] ?? state.focus);
}
