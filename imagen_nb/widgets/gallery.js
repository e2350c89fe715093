// The widget Gallery: a filter, facets, a grid, and keys for all that can be done there.

import { button, element, keepKeys } from "./dom.js";
import { facetLists } from "./facets.js";
import { gridOf } from "./grid.js";
import { lookedAt, tagOf } from "./look.js";
import { knownCards } from "./thumbs.js";

const FACETS = ["backend", "model", "tag", "size", "day"];
const KEYS = "Arrows move · Enter enlarges · 1–5 rate, 0 unrates · k keeper, x reject · Space selects, Ctrl-A all · c compares two · / filters";
const TYPING = 200; // milliseconds without a key, until the filter asks
const ASKING = 100; // milliseconds between questions for thumbnails

const render = ({ model, el }) => {
  const over = new AbortController();
  const { signal } = over;
  const view = crypto.randomUUID?.() ?? String(Math.random());
  const send = (message, buffers) => model.send({ view, ...message }, undefined, buffers);
  const gallery = galleryOf(send, signal);
  const heard = (told, buffers) => {
    const meant = told.view ? told.view === view : told.but !== view;
    if (meant) gallery.hear(told, buffers);
  };
  model.on("msg:custom", heard);
  el.append(gallery.root);
  send({ kind: "open" });
  return () => {
    model.off("msg:custom", heard);
    over.abort();
    send({ kind: "left" });
  };
};

const galleryOf = (send, signal) => {
  const state = { rows: new Int32Array(0), focus: 0, anchor: 0, selected: new Set(), total: 0 };
  const layout = { size: 128, columns: null };
  const cards = knownCards(send, signal);
  const ask = paced(cards.want, ASKING, signal);
  const grid = gridOf(state, layout, cards.get, ask, signal);
  const bar = barOf(() => filter(), signal);
  const root = rootOf(bar, grid);
  const acts = actsOf(state, grid, send, (kind) => bar.say(kind));
  const look = lookedAt(root, {
    send,
    step: (by) => { acts.move(by); look.open(acts.at(), cards.get(acts.at())); },
    tag: (name) => acts.tag(name, [look.at()]), // what is looked at, whatever is selected behind it
    close: () => { grid.list.focus(); },
  }, signal);
  acts.enlarge = () => { if (acts.at() !== undefined) look.open(acts.at(), cards.get(acts.at())); };
  const filter = () => send({ kind: "filter", words: bar.words.value, chosen: bar.facets.chosen() });

  const shown = (told, [rows, selected]) => {
    root.hidden = false;
    root.classList.add("imagen-live");
    Object.assign(layout, { size: told.size, columns: told.columns });
    adopt(state, told, numbers(rows));
    if (told.view) state.selected = new Set(numbers(selected)); // of views that were there before
    bar.show(told);
    bar.count(state);
    grid.home();
    grid.measure();
  };
  const hears = {
    shown,
    selected: (_, [selected]) => {
      state.selected = new Set(numbers(selected));
      bar.count(state);
      grid.soon();
    },
    cards: (told, buffers) => { cards.take(told, buffers); grid.soon(); },
    picture: (told, buffers) => look.picture(told, buffers, cards.get(told.at)?.tags ?? []),
    pair: (told, buffers) => look.compare(told, buffers),
    trouble: (told) => bar.complain(told.text),
    tags: (told) => {
      cards.retag(told);
      bar.facets.show(told.facets);
      const place = told.at.indexOf(look.at());
      if (place >= 0) look.retag(told.tags[place]);
      grid.soon();
    },
  };
  listen(root, bar, grid, acts, state, signal);
  return { root, hear: (told, buffers) => hears[told.kind]?.(told, buffers) };
};

const numbers = (view) => new Int32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));

/** New rows: the focus stays on its picture, if that is still there; selected ones stay selected. */
const adopt = (state, told, rows) => {
  const before = state.rows[state.focus];
  state.rows = rows;
  state.total = told.total;
  state.focus = state.anchor = Math.max(0, rows.indexOf(before));
};

/** Calls at once, and then with the last value, at most once in so many milliseconds. */
const paced = (act, pause, signal) => {
  let timer = 0;
  let last;
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  const rest = () => {
    timer = last && setTimeout(rest, pause);
    if (last) act(last);
    last = null;
  };
  return (value) => {
    last = value;
    if (!timer) rest();
  };
};

const rootOf = (bar, grid) => {
  const keys = element("p", { className: "imagen-keys" }, KEYS);
  return element("div", { className: "imagen-widget imagen-gallery", hidden: true }, bar.root, bar.trouble, grid.box, keys);
};

const barOf = (filter, signal) => {
  const words = element("input", { type: "search", placeholder: 'red "tall ship" -night', maxLength: 1000, "aria-label": "Filter by words of the prompt" });
  const facets = facetLists(FACETS, filter, signal);
  const said = element("span", { role: "status" });
  const trouble = element("p", { role: "alert", hidden: true });
  const clear = button("Clear", "Clear all filters", () => { words.value = ""; facets.clear(); filter(); }, signal);
  let timer = 0;
  const soon = (pause) => { clearTimeout(timer); timer = setTimeout(filter, pause); };
  words.addEventListener("input", () => soon(TYPING), { signal });
  words.addEventListener("keydown", (event) => { if (event.key === "Enter") soon(0); }, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  const complain = (text) => { trouble.hidden = !text; trouble.textContent = text; };
  return {
    root: element("div", { className: "imagen-bar" }, words, facets.root, clear, said),
    words, facets, trouble, complain,
    say: complain,
    show: (told) => {
      facets.show(told.facets, told.chosen);
      if (document.activeElement !== words) words.value = told.words;
      complain("");
    },
    count: (state) => { said.textContent = counted(state); },
  };
};

const counted = ({ rows, total, selected }) => {
  const shown = rows.length === total ? `${total} pictures` : `${rows.length} of ${total} pictures`;
  return selected.size ? `${shown} · ${selected.size} selected` : shown;
};

/** What keys and mouse do with the rows. */
const actsOf = (state, grid, send, complain) => {
  const at = () => state.rows[state.focus];
  const tell = () => {
    send({ kind: "select" }, [Int32Array.from(state.selected).buffer]);
    acts.counted();
    grid.soon();
  };
  const goTo = (index, extend) => {
    state.focus = Math.max(0, Math.min(state.rows.length - 1, index));
    if (extend) range();
    else state.anchor = state.focus;
    grid.reveal();
  };
  const range = () => {
    const [from, to] = [state.anchor, state.focus].sort((one, other) => one - other);
    state.selected = new Set(state.rows.subarray(from, to + 1));
    tell();
  };
  const meant = () => (state.selected.has(at()) ? [...state.selected] : [at()]).filter((one) => one !== undefined);
  const acts = {
    at, goTo,
    counted: () => {},
    move: (by, extend) => goTo(state.focus + by, extend),
    toggle: () => {
      if (at() === undefined) return;
      if (!state.selected.delete(at())) state.selected.add(at());
      state.anchor = state.focus;
      tell();
    },
    only: (positions) => { state.selected = new Set(positions); tell(); },
    tag: (name, at = meant()) => send({ kind: "tag", tag: name, at }),
    compare: () => {
      const two = state.selected.size === 1 ? new Set([...state.selected, at()]) : state.selected;
      if (two.size === 2) send({ kind: "compare", at: [...two] });
      else complain("select two pictures to compare");
    },
  };
  return acts;
};

const listen = (root, bar, grid, acts, state, signal) => {
  acts.counted = () => bar.count(state);
  keepKeys(root, signal);
  grid.list.addEventListener("keydown", (event) => pressed(event, grid, acts, state, bar), { signal });
  grid.list.addEventListener("click", (event) => clicked(event, grid, acts), { signal });
  grid.list.addEventListener("dblclick", () => acts.enlarge(), { signal });
  bar.words.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === "ArrowDown" || event.key === "Escape") grid.list.focus();
    else return;
    event.preventDefault();
  }, { signal });
};

const clicked = (event, grid, acts) => {
  const cell = event.target.closest(".imagen-cell");
  if (!cell) return;
  grid.list.focus({ preventScroll: true });
  acts.goTo(Number(cell.dataset.index), event.shiftKey);
  if (event.ctrlKey || event.metaKey) acts.toggle();
  else if (!event.shiftKey) acts.only([]);
};

const pressed = (event, grid, acts, state, bar) => {
  if (press(event, grid, acts, state, bar)) event.preventDefault();
};

const press = (event, grid, acts, state, bar) => {
  const { key, shiftKey } = event;
  if (event.altKey) return false;
  if (event.ctrlKey || event.metaKey) return key === "a" && done(acts.only(state.rows));
  const step = stepOf(key, grid);
  if (step) return done(acts.move(step, shiftKey));
  if (tagOf(key)) return done(acts.tag(tagOf(key)));
  const act = {
    Home: () => acts.goTo(0, shiftKey), End: () => acts.goTo(state.rows.length - 1, shiftKey),
    Enter: acts.enlarge, " ": acts.toggle, c: acts.compare, Escape: () => acts.only([]),
    "/": () => bar.words.select(),
  }[key];
  return act ? done(act()) : false;
};

const done = () => true;

const stepOf = (key, grid) => ({
  ArrowLeft: -1, ArrowRight: 1, ArrowUp: -grid.columns(), ArrowDown: grid.columns(),
  PageUp: -grid.page(), PageDown: grid.page(),
})[key];

export default { render };
