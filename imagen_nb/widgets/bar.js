// Above the grid: words, order, facets, size; and what can be done with what is selected.

import { button, element } from "./dom.js";
import { makeFacetLists } from "./facets.js";

const FACETS = ["backend", "model", "tag", "rating", "size", "steps", "guidance", "scheduler", "lora", "day"];
const SIZES = { min: 64, max: 512, step: 8 }; // pixels of a thumbnail's side
const BUSY_AFTER_MS = 200;
const TYPING_PAUSE_MS = 20; // a newer question ends an older one, so there is little to wait for

/** `ask(question)` asks the kernel what is to be shown; `resize(size)` changes the thumbnails. */
export const makeBar = (ask, resize, signal) => {
  const words = element("input", { type: "search", placeholder: 'red "tall ship" -night', maxLength: 1000, "aria-label": "Filter by words of the prompt" });
  const sort = element("select", { "aria-label": "Sort by", title: "Sort by" });
  const way = button("↓", "Descending", () => { turn(way.dataset.way !== "down"); question(); }, signal);
  const rejects = button("Hide rejects", "Hide rejects", () => { press(!isPressed()); question(); }, signal);
  const size = element("input", { type: "range", ...SIZES, "aria-label": "Size of thumbnails", title: "Size of thumbnails" });
  const said = element("span", { role: "status" });
  const trouble = element("p", { role: "alert", hidden: true });
  const pill = element("button", { type: "button", className: "imagen-new", hidden: true });
  let timer = 0;
  let busy = 0;
  let counts = "";
  const say = () => { said.textContent = said.classList.contains("imagen-busy") ? "searching…" : counts; };
  const isPressed = () => rejects.getAttribute("aria-pressed") === "true";
  const press = (on) => rejects.setAttribute("aria-pressed", on);
  const turn = (down) => {
    way.dataset.way = down ? "down" : "up";
    way.textContent = down ? "↓" : "↑";
    way.title = down ? "Descending: press for ascending" : "Ascending: press for descending";
    way.setAttribute("aria-label", way.title);
  };
  const question = (more = {}) => {
    clearTimeout(timer);
    clearTimeout(busy);
    busy = setTimeout(() => { said.classList.add("imagen-busy"); say(); }, BUSY_AFTER_MS);
    ask({
      words: words.value, chosen: facets.chosen(), hides_rejects: isPressed(),
      sort: sort.value, descending: way.dataset.way === "down", ...more,
    });
  };
  const facets = makeFacetLists(FACETS, () => question(), signal);
  const clear = button("Clear", "Clear all filters", () => {
    words.value = "";
    press(false);
    facets.clear();
    question();
  }, signal);
  words.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(question, TYPING_PAUSE_MS); }, { signal });
  words.addEventListener("keydown", (event) => { if (event.key === "Enter") question(); }, { signal });
  sort.addEventListener("change", () => question(), { signal });
  size.addEventListener("input", () => resize(Number(size.value)), { signal });
  signal.addEventListener("abort", () => { clearTimeout(timer); clearTimeout(busy); }, { once: true });
  const complain = (text) => { trouble.hidden = !text; trouble.textContent = text; };
  const stopBeingBusy = () => {
    clearTimeout(busy);
    said.classList.remove("imagen-busy");
    say();
  };
  return {
    root: element("div", { className: "imagen-bar" },
      element("div", { className: "imagen-line" }, words, sort, way, rejects, size, clear, said), facets.root),
    words, facets, trouble, pill, question,
    complain: (text) => { complain(text); stopBeingBusy(); },
    note: (text) => { said.title = text; },
    show: (message) => {
      stopBeingBusy();
      facets.show(message.facets, message.chosen);
      if (document.activeElement !== words) words.value = message.words;
      showSorts(sort, message);
      turn(message.descending);
      way.disabled = message.sort === "";
      press(message.hides_rejects);
      complain("");
    },
    sized: (pixels, isFixed) => { size.value = pixels; size.hidden = isFixed; },
    count: (state) => { counts = describeCounts(state); say(); },
  };
};

const showSorts = (select, { sorts, sort }) => {
  if (select.options.length !== sorts.length) {
    select.replaceChildren(...sorts.map(([value, label]) => element("option", { value }, label)));
  }
  select.value = sort;
};

const describeCounts = ({ rows, total, selection }) => {
  const all = `${total.toLocaleString()} ${total === 1 ? "picture" : "pictures"}`;
  const shown = rows.length === total ? all : `${rows.length.toLocaleString()} of ${all}`;
  const selected = selection.size();
  return selected ? `${shown} · ${selected.toLocaleString()} selected` : shown;
};
