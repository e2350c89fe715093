// Months along the right edge of a grid that is sorted by date: a press goes there.

import { element, monthText } from "./dom.js";

const LEAST_GAP = 18; // pixels between two names
const STEPS = { ArrowUp: -1, ArrowDown: 1, PageUp: -1, PageDown: 1 };

/** `grid` as `makeGrid` gives it. */
export const makeScrubber = (grid, signal) => {
  const bubble = element("div", { className: "imagen-bubble", hidden: true });
  const thumb = element("i", {});
  const names = element("div", { className: "imagen-months" });
  const root = element("div", { className: "imagen-scrubber", role: "slider", tabIndex: 0, hidden: true, "aria-label": "Months", "aria-orientation": "vertical" }, names, thumb, bubble);
  let months = []; // name and top of each, in order
  let shownFor = null;

  const height = () => root.clientHeight;
  const placeOf = (top) => (grid.end() ? Math.min(1, top / grid.end()) * height() : 0);
  const drawNames = () => {
    months = monthsOf(grid.layout().days);
    root.hidden = months.length < 2;
    let free = 0;
    const shown = months.filter(({ top }) => {
      const place = placeOf(top);
      if (place < free || place > height() - LEAST_GAP) return false;
      free = place + LEAST_GAP;
      return true;
    });
    names.replaceChildren(...shown.map(({ name, top }) => {
      const text = element("span", {}, monthText(name));
      text.style.top = `${placeOf(top)}px`;
      return text;
    }));
  };
  const now = () => grid.layout().dayAt(grid.top()).slice(0, 7);
  const update = () => {
    if (shownFor !== grid.layout()) {
      shownFor = grid.layout();
      drawNames();
      if (!root.hidden) drawNames(); // by its height, which it has only now
    }
    if (root.hidden) return;
    thumb.style.top = `${placeOf(grid.top())}px`;
    const at = months.findIndex(({ name }) => name === now());
    root.setAttribute("aria-valuemin", 1);
    root.setAttribute("aria-valuemax", months.length);
    root.setAttribute("aria-valuenow", at + 1);
    root.setAttribute("aria-valuetext", monthText(now()));
  };

  const placeIn = (event) => {
    const box = root.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientY - box.top) / box.height));
  };
  const point = (event) => {
    const part = placeIn(event);
    bubble.hidden = false;
    bubble.textContent = monthText(grid.layout().dayAt(part * grid.end()).slice(0, 7));
    bubble.style.top = `${part * height()}px`;
    if (event.buttons & 1) grid.goTo(part * grid.end());
  };
  root.addEventListener("pointerdown", (event) => { root.setPointerCapture(event.pointerId); point(event); }, { signal });
  root.addEventListener("pointermove", point, { signal });
  root.addEventListener("pointerleave", () => { bubble.hidden = true; }, { signal });
  root.addEventListener("pointerup", (event) => { if (event.pointerType === "touch") bubble.hidden = true; }, { signal });
  root.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    const ends = { Home: 0, End: grid.end() };
    if (step) {
      const at = months.findIndex(({ name }) => name === now()) + step;
      if (months[at]) grid.goTo(months[at].top);
    } else if (event.key in ends) grid.goTo(ends[event.key]);
    else return;
    event.preventDefault();
  }, { signal });
  return { root, update };
};

const monthsOf = (days) => {
  const months = [];
  for (const { name, top } of days) {
    const month = name.slice(0, 7);
    if (month !== months.at(-1)?.name) months.push({ name: month, top });
  }
  return months;
};
