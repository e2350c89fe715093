// The widget Gallery: a filter, facets, a grid, and keys for all that can be done there.

import { makeCardCache } from "./cards.js";
import { makePictureDialog, tagOfKey } from "./dialog.js";
import { blockNotebookKeys, button, element } from "./dom.js";
import { makeFacetLists } from "./facets.js";
import { makeGrid } from "./grid.js";

const FACETS = ["backend", "model", "tag", "size", "day"];
const KEYS = "Arrows move · Enter enlarges · 1–5 rate, 0 unrates · k keeper, x reject · Space selects, Ctrl-A all · c compares two · / filters";
const TYPING_PAUSE_MS = 200; // without a key, until the filter asks
const REQUEST_PAUSE_MS = 100; // between questions for thumbnails

const render = ({ model, el }) => {
  const controller = new AbortController();
  const { signal } = controller;
  const view = crypto.randomUUID?.() ?? String(Math.random());
  const send = (message, buffers) => model.send({ view, ...message }, undefined, buffers);
  const gallery = makeGallery(send, signal);
  const onMessage = (message, buffers) => {
    const isForThisView = message.view ? message.view === view : message.but !== view;
    if (isForThisView) gallery.handle(message, buffers);
  };
  model.on("msg:custom", onMessage);
  el.append(gallery.root);
  send({ kind: "open" });
  return () => {
    model.off("msg:custom", onMessage);
    controller.abort();
    send({ kind: "left" });
  };
};

const makeGallery = (send, signal) => {
  const state = { rows: new Int32Array(0), focus: 0, anchor: 0, selected: new Set(), total: 0 };
  const layout = { size: 128, columns: null };
  const cards = makeCardCache(send, signal);
  const ask = throttled(cards.request, REQUEST_PAUSE_MS, signal);
  const grid = makeGrid(state, layout, cards.get, ask, signal);
  const bar = makeBar(() => filter(), signal);
  const root = makeRoot(bar, grid);
  const actions = makeActions(state, grid, send, (kind) => bar.say(kind));
  const dialog = makePictureDialog(root, {
    send,
    step: (by) => { actions.move(by); dialog.open(actions.at(), cards.get(actions.at())); },
    tag: (name) => actions.tag(name, [dialog.at()]), // what is looked at, whatever is selected behind it
    close: () => { grid.list.focus(); },
  }, signal);
  actions.enlarge = () => { if (actions.at() !== undefined) dialog.open(actions.at(), cards.get(actions.at())); };
  const filter = () => send({ kind: "filter", words: bar.words.value, chosen: bar.facets.chosen() });

  const shown = (message, [rows, selected]) => {
    root.hidden = false;
    root.classList.add("imagen-live");
    Object.assign(layout, { size: message.size, columns: message.columns });
    replaceRows(state, message, positionsIn(rows));
    if (message.view) state.selected = new Set(positionsIn(selected)); // of views that were there before
    bar.show(message);
    bar.count(state);
    grid.scrollToTop();
    grid.updateLayout();
  };
  const handlers = {
    shown,
    selected: (_, [selected]) => {
      state.selected = new Set(positionsIn(selected));
      bar.count(state);
      grid.drawSoon();
    },
    cards: (message, buffers) => { cards.receive(message, buffers); grid.drawSoon(); },
    picture: (message, buffers) => dialog.picture(message, buffers, cards.get(message.at)?.tags ?? []),
    pair: (message, buffers) => dialog.compare(message, buffers),
    trouble: (message) => bar.complain(message.text),
    tags: (message) => {
      cards.retag(message);
      bar.facets.show(message.facets);
      const place = message.at.indexOf(dialog.at());
      if (place >= 0) dialog.retag(message.tags[place]);
      grid.drawSoon();
    },
  };
  listen(root, bar, grid, actions, state, signal);
  return { root, handle: (message, buffers) => handlers[message.kind]?.(message, buffers) };
};

const positionsIn = (view) => new Int32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));

/** Take new rows: the focus stays on its picture, if that is there; what is selected stays so. */
const replaceRows = (state, message, rows) => {
  const before = state.rows[state.focus];
  state.rows = rows;
  state.total = message.total;
  state.focus = state.anchor = Math.max(0, rows.indexOf(before));
};

/** A function that calls `act` at once, then with the last value, at most once in `pause` ms. */
const throttled = (act, pause, signal) => {
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

const makeRoot = (bar, grid) => {
  const keys = element("p", { className: "imagen-keys" }, KEYS);
  return element("div", { className: "imagen-widget imagen-gallery", hidden: true }, bar.root, bar.trouble, grid.box, keys);
};

const makeBar = (filter, signal) => {
  const words = element("input", { type: "search", placeholder: 'red "tall ship" -night', maxLength: 1000, "aria-label": "Filter by words of the prompt" });
  const facets = makeFacetLists(FACETS, filter, signal);
  const said = element("span", { role: "status" });
  const trouble = element("p", { role: "alert", hidden: true });
  const clear = button("Clear", "Clear all filters", () => { words.value = ""; facets.clear(); filter(); }, signal);
  let timer = 0;
  const soon = (pause) => { clearTimeout(timer); timer = setTimeout(filter, pause); };
  words.addEventListener("input", () => soon(TYPING_PAUSE_MS), { signal });
  words.addEventListener("keydown", (event) => { if (event.key === "Enter") soon(0); }, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  const complain = (text) => { trouble.hidden = !text; trouble.textContent = text; };
  return {
    root: element("div", { className: "imagen-bar" }, words, facets.root, clear, said),
    words, facets, trouble, complain,
    say: complain,
    show: (message) => {
      facets.show(message.facets, message.chosen);
      if (document.activeElement !== words) words.value = message.words;
      complain("");
    },
    count: (state) => { said.textContent = describeCounts(state); },
  };
};

const describeCounts = ({ rows, total, selected }) => {
  const shown = rows.length === total ? `${total} pictures` : `${rows.length} of ${total} pictures`;
  return selected.size ? `${shown} · ${selected.size} selected` : shown;
};

/** What keys and mouse do with the rows. */
const makeActions = (state, grid, send, complain) => {
  const at = () => state.rows[state.focus];
  const tell = () => {
    send({ kind: "select" }, [Int32Array.from(state.selected).buffer]);
    actions.onSelected();
    grid.drawSoon();
  };
  const goTo = (index, extend) => {
    state.focus = Math.max(0, Math.min(state.rows.length - 1, index));
    if (extend) range();
    else state.anchor = state.focus;
    grid.scrollToFocus();
  };
  const range = () => {
    const [from, to] = [state.anchor, state.focus].sort((one, other) => one - other);
    state.selected = new Set(state.rows.subarray(from, to + 1));
    tell();
  };
  const targets = () => (state.selected.has(at()) ? [...state.selected] : [at()]).filter((one) => one !== undefined);
  const actions = {
    at, goTo,
    onSelected: () => {},
    move: (by, extend) => goTo(state.focus + by, extend),
    toggle: () => {
      if (at() === undefined) return;
      if (!state.selected.delete(at())) state.selected.add(at());
      state.anchor = state.focus;
      tell();
    },
    only: (positions) => { state.selected = new Set(positions); tell(); },
    tag: (name, at = targets()) => send({ kind: "tag", tag: name, at }),
    compare: () => {
      const two = state.selected.size === 1 ? new Set([...state.selected, at()]) : state.selected;
      if (two.size === 2) send({ kind: "compare", at: [...two] });
      else complain("select two pictures to compare");
    },
  };
  return actions;
};

const listen = (root, bar, grid, actions, state, signal) => {
  actions.onSelected = () => bar.count(state);
  blockNotebookKeys(root, signal);
  grid.list.addEventListener("keydown", (event) => onKeyDown(event, grid, actions, state, bar), { signal });
  grid.list.addEventListener("click", (event) => onClick(event, grid, actions), { signal });
  grid.list.addEventListener("dblclick", () => actions.enlarge(), { signal });
  bar.words.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === "ArrowDown" || event.key === "Escape") grid.list.focus();
    else return;
    event.preventDefault();
  }, { signal });
};

const onClick = (event, grid, actions) => {
  const cell = event.target.closest(".imagen-cell");
  if (!cell) return;
  grid.list.focus({ preventScroll: true });
  actions.goTo(Number(cell.dataset.index), event.shiftKey);
  if (event.ctrlKey || event.metaKey) actions.toggle();
  else if (!event.shiftKey) actions.only([]);
};

const onKeyDown = (event, grid, actions, state, bar) => {
  if (handleKey(event, grid, actions, state, bar)) event.preventDefault();
};

const handleKey = (event, grid, actions, state, bar) => {
  const { key, shiftKey } = event;
  if (event.altKey) return false;
  if (event.ctrlKey || event.metaKey) return key === "a" && done(actions.only(state.rows));
  const step = stepOfKey(key, grid);
  if (step) return done(actions.move(step, shiftKey));
  if (tagOfKey(key)) return done(actions.tag(tagOfKey(key)));
  const act = {
    Home: () => actions.goTo(0, shiftKey), End: () => actions.goTo(state.rows.length - 1, shiftKey),
    Enter: actions.enlarge, " ": actions.toggle, c: actions.compare, Escape: () => actions.only([]),
    "/": () => bar.words.select(),
  }[key];
  return act ? done(act()) : false;
};

const done = () => true;

const stepOfKey = (key, grid) => ({
  ArrowLeft: -1, ArrowRight: 1, ArrowUp: -grid.columns(), ArrowDown: grid.columns(),
  PageUp: -grid.page(), PageDown: grid.page(),
})[key];

export default { render };
