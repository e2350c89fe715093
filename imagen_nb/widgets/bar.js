// Above the grid: words, order, facets, size; and what can be done with what is selected.

import { button, element } from "./dom.js";
import { makeFacetLists } from "./facets.js";
import { makeMeaning, SCORE } from "./meaning.js";

const FACETS = ["backend", "model", "tag", "rating", "size", "steps", "guidance", "scheduler", "lora", "day"];
const SIZES = { min: 64, max: 512, step: 8 }; // pixels of a thumbnail's side
const BUSY_AFTER_MS = 200;
const TYPING_PAUSE_MS = 20; // a newer question ends an older one, so there is little to wait for
const MEANING_PAUSE_MS = 300; // an embedder reads all of a text: half a word is no text

/** `ask(question)` asks the kernel what is to be shown; `resize(size)` changes the thumbnails. */
export const makeBar = (ask, resize, signal) => {
  const words = element("input", { type: "search", maxLength: 1000 });
  const sort = element("select", { "aria-label": "Sort by", title: "Sort by" });
  const way = button("↓", "Descending", () => { turn(way.dataset.way !== "down"); question(); }, signal);
  const rejects = button("Hide rejects", "Hide rejects", () => { press(!isPressed()); question(); }, signal);
  const size = element("input", { type: "range", ...SIZES, "aria-label": "Size of thumbnails", title: "Size of thumbnails" });
  const said = element("span", { role: "status" });
  const trouble = element("p", { role: "alert", hidden: true });
  const pill = element("button", { type: "button", className: "imagen-new", hidden: true });
  let timer = 0; // until what is typed is asked for; 0 otherwise
  let busy = 0;
  let isWaiting = false; // for the answer to a question of this view's
  let counts = "";
  let doing = ""; // while it is busy
  let last = null; // what the kernel said last
  const say = () => { said.textContent = said.classList.contains("imagen-busy") ? doing : counts; };
  const beBusy = (text) => { doing = text; said.classList.add("imagen-busy"); say(); };
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
    timer = 0;
    clearTimeout(busy);
    isWaiting = true;
    busy = setTimeout(() => beBusy("searching…"), BUSY_AFTER_MS);
    ask({
      words: words.value, chosen: facets.chosen(), hides_rejects: isPressed(), descending: way.dataset.way === "down",
      ...meaning.asked(sort.value), ...more,
    });
  };
  const facets = makeFacetLists(FACETS, () => question(), signal);
  const meaning = makeMeaning(words, () => question(), signal);
  const clear = button("Clear", "Clear all filters", () => {
    words.value = "";
    meaning.like(null);
    press(false);
    facets.clear();
    question();
  }, signal);
  words.addEventListener("input", () => {
    clearTimeout(timer);
    if (meaning.isPressed()) meaning.like(null); // what is typed is looked for instead
    timer = setTimeout(question, meaning.isPressed() ? MEANING_PAUSE_MS : TYPING_PAUSE_MS);
  }, { signal });
  words.addEventListener("keydown", (event) => { if (event.key === "Enter") question(); }, { signal });
  sort.addEventListener("change", () => question(), { signal });
  size.addEventListener("input", () => resize(Number(size.value)), { signal });
  signal.addEventListener("abort", () => { clearTimeout(timer); clearTimeout(busy); }, { once: true });
  const complain = (text) => { trouble.hidden = !text; trouble.textContent = text; };
  const stopBeingBusy = () => {
    clearTimeout(busy);
    isWaiting = false;
    said.classList.remove("imagen-busy");
    say();
  };
  return {
    root: element("div", { className: "imagen-bar" },
      element("div", { className: "imagen-line" }, words, meaning.toggle, meaning.chip, sort, way, rejects, size, clear, said),
      facets.root),
    words, facets, trouble, pill, question,
    isRanked: () => last?.sorts[0][0] === SCORE,
    complain: (text) => {
      complain(text);
      stopBeingBusy();
      if (last && !timer) meaning.like(last.like); // what could not be done is not done
    },
    note: (text) => { said.title = text; },
    show: (message) => {
      last = message;
      stopBeingBusy();
      facets.show(message.facets, message.chosen);
      if (document.activeElement !== words) words.value = message.words;
      meaning.show(message, timer !== 0);
      showSorts(sort, message);
      turn(message.descending);
      way.disabled = ["", SCORE].includes(message.sort);
      press(message.hides_rejects);
      complain(message.note);
    },
    /** Show first what is most like this picture, within the other filters. */
    findLike: (at) => {
      if (meaning.isPressed()) words.value = "";
      meaning.like({ at, id: null });
      question();
    },
    /** How far the kernel is, which looks at pictures that it has never looked at. */
    looking: ({ done, total }) => {
      if (!isWaiting) return;
      clearTimeout(busy);
      const many = `${total.toLocaleString()} ${total === 1 ? "picture" : "pictures"}`;
      beBusy(`looking at ${many}…${done ? ` ${done.toLocaleString()} done` : ""}`);
    },
    sized: (pixels, isFixed) => { size.value = pixels; size.hidden = isFixed; },
    count: (state) => { counts = describeCounts(state); say(); },
  };
};

const showSorts = (select, { sorts, sort }) => {
  if ([...select.options].map(({ value }) => value).join() !== sorts.map(([value]) => value).join()) {
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
