// The widget Gallery: a filter, facets, a grid, and keys for all that can be done there.

import { makeActions } from "./actions.js";
import { makeBar } from "./bar.js";
import { makeCardCache } from "./cards.js";
import { makeDeleting } from "./deleting.js";
import { makePictureDialog, tagOfKey } from "./dialog.js";
import { blockNotebookKeys, element } from "./dom.js";
import { makeGrid } from "./grid.js";
import { makeScrubber } from "./scrubber.js";
import { makeSelection } from "./selection.js";
import { connect } from "./wire.js";

const KEYS = "Arrows move · Enter enlarges · 1–5 rate, 0 unrates · k keeper, x reject · Space selects, Ctrl-A all · c compares · m more like this · Del deletes · / filters";
const REQUEST_PAUSE_MS = 100; // between questions for thumbnails
const MOST_COMPARED = 9;

const render = ({ model, el }) => {
  const controller = new AbortController();
  const { signal } = controller;
  const view = crypto.randomUUID?.() ?? String(Math.random());
  const send = (message, buffers) => tell({ view, ...message }, buffers);
  const gallery = makeGallery(send, signal);
  const tell = connect(model, (message, buffers) => {
    const isForThisView = message.view ? message.view === view : message.but !== view;
    if (isForThisView) gallery.handle(message, buffers);
  }, signal);
  el.append(gallery.root);
  send({ kind: "open" });
  return () => {
    controller.abort();
    send({ kind: "left" });
  };
};

const makeGallery = (send, signal) => {
  const selection = makeSelection((positions) => {
    send({ kind: "select" }, [positions.buffer]);
    told();
  });
  const state = { rows: new Int32Array(0), scores: null, days: [], focus: 0, anchor: 0, selection, total: 0 };
  const layout = { size: 128, columns: null };
  const cards = makeCardCache(send, () => grid.side(), signal);
  const ask = throttled(cards.request, REQUEST_PAUSE_MS, signal);
  const grid = makeGrid(state, layout, cards.get, ask, () => scrubber.update(), signal);
  const scrubber = makeScrubber(grid, signal);
  const resize = (size) => grid.keeping(() => { layout.size = size; });
  const bar = makeBar((question) => send({ kind: "filter", ...question }), resize, signal);
  const deleting = makeDeleting(send, () => grid.list.focus({ preventScroll: true }), signal);
  const moves = makeMoves(state, grid, send, bar.complain, deleting.ask);
  const findLike = (at) => {
    if (at === undefined) return;
    if (dialog.isOpen()) dialog.close();
    bar.findLike(at);
  };
  const acts = { ...moves, findLike: () => findLike(selection.positions()[0]), clear: () => selection.only([]), do: (act, value) => send({ kind: "act", act, value }), recall: (part) => send({ kind: "panel", part, at: [...selection.positions()] }) };
  const actions = makeActions(acts, () => bar.facets.values("tag"), signal);
  const told = () => {
    bar.count(state);
    actions.show(selection.size());
    grid.drawSoon();
  };
  const root = makeRoot(bar, actions, grid, scrubber, deleting);
  const enlarge = () => { if (moves.at() !== undefined) dialog.open(moves.at(), cards.get(moves.at())); };
  const dialog = makePictureDialog(root, {
    send,
    step: (by) => { moves.move(by); enlarge(); },
    look: (at) => dialog.open(at, cards.get(at)),
    at: () => dialog.at() ?? undefined,
    findLike,
    tag: (name) => moves.mark(name, [dialog.at()]), // what is looked at, whatever is selected behind it
    knownTags: () => bar.facets.values("tag"),
    close: () => { grid.list.focus(); },
  }, signal);

  const shown = (message, [rows, selected, scores]) => {
    const isFirst = root.hidden;
    root.hidden = false;
    root.classList.add("imagen-live");
    if (isFirst) Object.assign(layout, { size: message.size, columns: message.columns });
    if (isFirst) bar.sized(layout.size, layout.columns !== null);
    const change = () => replaceRows(state, message, message.packed ? unpacked(rows, message.count) : positionsIn(rows), scoresIn(scores));
    if (message.view) selection.take(positionsIn(selected)); // of views that were there before
    bar.show(message);
    bar.pill.hidden = true;
    if (message.keep) grid.keeping(change);
    else {
      change();
      grid.updateLayout();
      grid.scrollToTop();
    }
    told();
  };
  const refresh = () => bar.question({ keep: true });
  const handlers = {
    shown,
    selected: (_, [selected]) => { selection.take(positionsIn(selected)); told(); },
    cards: (message, buffers) => { cards.receive(message, buffers); grid.drawSoon(); },
    picture: (message, buffers) => dialog.picture(message, buffers, cards.get(message.at)?.tags ?? []),
    family: (message, buffers) => dialog.family(message, buffers),
    compared: (message, buffers) => dialog.compare(message, buffers),
    deleted: deleting.deleted,
    looking: bar.looking,
    facets: (message) => bar.facets.show(message.facets),
    trouble: (message) => { bar.complain(message.text); dialog.complain(message.text); },
    note: (message) => bar.note(message.text),
    done: (message, buffers) => {
      if (message.act === "sheet") dialog.sheet(message.text, buffers[0]);
      else if (dialog.at() === null) actions.say(message.text);
      else dialog.say(message.text);
    },
    new: (message) => {
      state.total = message.total;
      bar.count(state);
      if (grid.isAtTop() && !dialog.isOpen() && !bar.isRanked()) refresh(); // no picture is looked at unasked
      else showPill(bar.pill, message.count);
    },
    tags: (message) => {
      cards.retag(message);
      bar.facets.show(message.facets);
      const place = message.at.indexOf(dialog.at());
      if (place >= 0) dialog.retag(message.tags[place]);
      grid.drawSoon();
    },
  };
  bar.pill.addEventListener("click", () => { grid.scrollToTop(); refresh(); grid.list.focus(); }, { signal });
  listen(root, bar, grid, { ...moves, enlarge, findLike: () => findLike(moves.at()) }, state, signal);
  return { root, handle: (message, buffers) => handlers[message.kind]?.(message, buffers) };
};

const showPill = (pill, count) => {
  pill.hidden = count === 0;
  pill.textContent = `${count} new`;
  pill.title = "Show the new pictures";
};

const positionsIn = (view) => new Int32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));

/** The score of each row that is shown; null where they have none. */
const scoresIn = (view) => (view ? new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength)) : null);

/** Positions of which a view has a bit each. */
const unpacked = (view, count) => {
  const positions = new Int32Array(count);
  let place = 0;
  for (let at = 0; place < count; at += 1) {
    const byte = view.getUint8(at);
    for (let bit = 0; byte >> bit; bit += 1) if ((byte >> bit) & 1) positions[place++] = at * 8 + bit;
  }
  return positions;
};

/** Take new rows: the focus stays on its picture, if that is there; what is selected stays so. */
const replaceRows = (state, message, rows, scores) => {
  const before = state.rows[state.focus];
  state.rows = rows;
  state.scores = scores;
  state.days = message.days;
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

const makeRoot = (bar, actions, grid, scrubber, deleting) => {
  const keys = element("p", { className: "imagen-keys" }, KEYS);
  const body = element("div", { className: "imagen-body" }, grid.box, scrubber.root, bar.pill);
  return element("div", { className: "imagen-widget imagen-gallery", hidden: true },
    bar.root, body, bar.trouble, deleting.root, actions.root, keys);
};

/** What keys and mouse do with the rows. */
const makeMoves = (state, grid, send, complain, askToDelete) => {
  const { selection } = state;
  const at = () => state.rows[state.focus];
  const goTo = (index, extend) => {
    state.focus = Math.max(0, Math.min(state.rows.length - 1, index));
    if (extend) range();
    else state.anchor = state.focus;
    grid.scrollToFocus();
  };
  const range = () => {
    const [from, to] = [state.anchor, state.focus].sort((one, other) => one - other);
    selection.only(state.rows.subarray(from, to + 1));
  };
  const targets = () => (selection.has(at()) ? [...selection.positions()] : [at()]).filter((one) => one !== undefined);
  return {
    at, goTo,
    move: (by, extend) => goTo(state.focus + by, extend),
    toggle: () => {
      if (at() === undefined) return;
      state.anchor = state.focus;
      selection.toggle(at());
    },
    only: selection.only,
    mark: (tag, positions = targets()) => send({ kind: "tag", tag, at: positions }),
    remove: () => askToDelete(targets()),
    retag: (add, remove) => send({ kind: "retag", add, remove }),
    compare: () => {
      const some = new Set(selection.positions());
      if (some.size === 1) some.add(at());
      if (some.size >= 2 && some.size <= MOST_COMPARED) send({ kind: "compare", at: [...some] });
      else complain("select two to nine pictures to compare");
    },
  };
};

const listen = (root, bar, grid, actions, state, signal) => {
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
  const target = indexOfKey(key, grid, state.focus);
  if (target !== null) return done(actions.goTo(target, shiftKey));
  if (tagOfKey(key)) return done(actions.mark(tagOfKey(key)));
  const act = {
    Home: () => actions.goTo(0, shiftKey), End: () => actions.goTo(state.rows.length - 1, shiftKey),
    Enter: actions.enlarge, " ": actions.toggle, c: actions.compare, m: actions.findLike, Delete: actions.remove, Escape: () => actions.only([]),
    "/": () => bar.words.select(),
  }[key];
  return act ? done(act()) : false;
};

const done = () => true;

/** Where a key that moves goes to from an index; null for any other key. */
const indexOfKey = (key, grid, from) => {
  const { above, below } = grid.layout();
  const again = (step) => Array.from({ length: grid.rowsPerPage() }).reduce(step, from);
  const target = {
    ArrowLeft: () => from - 1, ArrowRight: () => from + 1, ArrowUp: () => above(from), ArrowDown: () => below(from),
    PageUp: () => again(above), PageDown: () => again(below),
  }[key];
  return target ? target() : null;
};

export default { render };
