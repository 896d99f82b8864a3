/** The menus at the top: one is open at a time, and a click elsewhere or Escape closes it. */

const open = () => document.querySelector(".menu[open]");

/** Close the menu that is open; the keyboard's focus goes back to what opened it. Returns whether there was one. */
export function closeMenu() {
  const menu = open();
  if (!menu) return false;
  const inside = menu.contains(document.activeElement);
  menu.open = false;
  if (inside) menu.querySelector("summary").focus();
  return true;
}

/** Listen for clicks elsewhere. */
export function watchMenus() {
  document.addEventListener("pointerdown", ({ target }) => target.closest(".menu") ?? closeMenu());
}
