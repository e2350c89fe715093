// Buttons with a picture on them, and a name for those who do not see it.

import { element } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";

/** Lines on a field of 24 × 24, as SVG's paths have them. */
const PATHS = {
  dice: "M4 4h16v16H4zM8.5 8.5h.01M15.5 8.5h.01M12 12h.01M8.5 15.5h.01M15.5 15.5h.01",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  swap: "M4 8h14l-4-4M20 16H6l4 4",
  close: "M6 6l12 12M18 6L6 18",
  up: "M6 15l6-6 6 6",
  down: "M6 9l6 6 6-6",
  retry: "M20 12a8 8 0 1 1-2.5-5.8M20 3v5h-5",
  keeper: "M12 20S4 14.5 4 9a4 4 0 0 1 8-1.2A4 4 0 0 1 20 9c0 5.5-8 11-8 11z",
  reject: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM6 6l12 12",
  star: "M12 4l2.5 5.2 5.7.7-4.2 3.9 1.1 5.7L12 16.7 6.9 19.5 8 13.8 3.8 9.9l5.7-.7z",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 2.5-2.5L20 16M15.5 9h.01",
  recall: "M9 6L4 11l5 5M4 11h11a5 5 0 0 1 5 5v3",
  text: "M5 6h14M5 12h14M5 18h8",
  seed: "M12 20v-8M12 12c0-4 2.5-7 7-7 0 4.5-2.5 7-7 7zM12 14c0-3-2-5.5-6-5.5 0 3.5 2 5.5 6 5.5z",
  size: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  repeat: "M5 12a7 7 0 0 1 12-5l3 3M20 5v5h-5M19 12a7 7 0 0 1-12 5l-3-3M4 19v-5h5",
  vary: "M4 7h4l8 10h4M4 17h4l2-2.5M14 9.5L16 7h4M17 4l3 3-3 3M17 14l3 3-3 3",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  code: "M8 7l-5 5 5 5M16 7l5 5-5 5",
  file: "M6 3h8l5 5v13H6zM14 3v5h5",
  fit: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5M9 9h6v6H9z",
  halves: "M4 5h16v14H4zM12 3v18",
  info: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 11v5M12 8h.01",
  keys: "M3 7h18v11H3zM7 11h.01M11 11h.01M15 11h.01M8 15h8",
  brush: "M20 4c-5 2-9 6-10.5 9.5L12 16c3.5-2 7-6.5 8-12zM9 14c-3 0-3 3-5 5 3.5.5 7 0 7-3z",
  erase: "M8 20h12M5 14L14 5l6 6-8 8H9z",
  undo: "M8 5L4 9l4 4M4 9h10a5 5 0 0 1 0 10H9",
  bin: "M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13",
  plus: "M12 5v14M5 12h14",
  grip: "M9 6h.01M15 6h.01M9 12h.01M15 12h.01M9 18h.01M15 18h.01",
  save: "M5 4h11l3 3v13H5zM8 4v5h7V4M8 20v-6h8v6",
};

const picture = (name) => {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
};

/** A button with this picture; its title is what it is called. */
export const iconButton = (name, title, act, signal) => {
  const made = element("button", { type: "button", title, "aria-label": title, className: "imagen-panel-icon" },
    picture(name));
  made.addEventListener("click", act, { signal });
  return made;
};

/** The same with words beside the picture, which are then its name. */
export const labelledButton = (name, text, title, act, signal) => {
  const made = element("button", { type: "button", title }, picture(name), text);
  made.addEventListener("click", act, { signal });
  return made;
};
