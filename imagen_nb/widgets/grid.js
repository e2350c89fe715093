// A grid of thumbnails of which only those in view are in the page.

import { starCount } from "./cards.js";
import { dayText, element, isolatedText, visibleText } from "./dom.js";
import { makeLayout } from "./layout.js";
import { makeScroller } from "./scroller.js";

const CAPTION_HEIGHT = 38; // pixels, of the prompt and the marks below a thumbnail
const GAP = 8;
const EXTRA_ROWS = 2; // rows above and below what is in view

/**
 * The box that scrolls. `state`: rows (positions that are shown), scores (of each; or null), days (their
 * headings), focus (an index of rows), selection. `view`: size and columns. `card(position)` gives what is known of one; `onVisible` gets
 * the positions in view, `onScroll` is called whenever what is in view may have changed.
 */
export const makeGrid = (state, view, card, onVisible, onScroll, signal) => {
  const list = element("div", { className: "imagen-list", tabIndex: 0, role: "listbox", "aria-multiselectable": "true", "aria-label": "Pictures" });
  const box = element("div", { className: "imagen-box" }, list);
  const scroller = makeScroller(box, list);
  const slots = makePool(() => makeSlot(list));
  const heads = makePool(() => makeHead(list));
  const name = `imagen-${Math.random().toString(36).slice(2)}`;
  let columns = 1;
  let side = view.size;
  let frame = 0;
  let layout = makeLayout([], 0, 1, 1);

  const pitch = () => side + CAPTION_HEIGHT + GAP;
  const draw = () => {
    frame = 0;
    const [top, bottom] = [scroller.top(), scroller.top() + box.clientHeight];
    const first = layout.rowAt(top - EXTRA_ROWS * pitch());
    const last = Math.min(state.rows.length, layout.rowAt(bottom + EXTRA_ROWS * pitch()) + columns);
    slots.keep((index) => index >= first && index < last);
    for (let index = first; index < last; index += 1) placeSlot(index);
    drawHeads(top, bottom);
    list.setAttribute("aria-activedescendant", slots.has(state.focus) ? `${name}-${state.focus}` : "");
    const seen = Math.min(last, layout.rowAt(top));
    onVisible([...state.rows.subarray(seen, last), ...state.rows.subarray(first, seen)]);
    onScroll();
  };
  const drawSoon = () => { frame ||= requestAnimationFrame(draw); };

  const drawHeads = (top, bottom) => {
    const now = layout.headsBetween(top - pitch(), bottom);
    const tops = new Set(now.map((head) => head.top));
    heads.keep((key) => tops.has(key));
    for (const head of now) {
      const node = heads.get(head.top).slot;
      node.style.transform = `translateY(${scroller.placeOf(head.top)}px)`;
      const text = `${dayText(head.name)} · ${head.count.toLocaleString()}`;
      if (node.textContent !== text) node.textContent = text;
    }
  };

  const placeSlot = (index) => {
    const { slot, isNew } = slots.get(index);
    if (isNew) {
      slot.node.id = `${name}-${index}`;
      slot.node.dataset.index = index;
    }
    const x = layout.columnOf(index) * (side + GAP);
    const y = scroller.placeOf(layout.topOf(index));
    slot.node.style.transform = `translate(${x}px, ${y}px)`;
    updateSlot(slot, card(state.rows[index]), state, index);
  };

  const updateLayout = () => {
    const width = box.clientWidth;
    if (!width) return; // not in the page just now
    const room = width - GAP; // without the padding, with a gap after the last column
    columns = view.columns ?? Math.max(1, Math.floor(room / (view.size + GAP)));
    side = view.columns ? view.size : Math.floor(room / columns) - GAP;
    list.style.setProperty("--side", `${side}px`);
    list.style.width = view.columns ? `${columns * (side + GAP)}px` : "";
    layout = makeLayout(state.days, state.rows.length, columns, pitch());
    scroller.setHeight(layout.height);
    drawSoon();
  };

  /** Lay out anew so that the picture which is now at the top stays there, by what `change` does to the rows. */
  const keeping = (change) => {
    const at = layout.rowAt(scroller.top());
    const position = state.rows[at];
    const offset = scroller.top() - (at < state.rows.length ? layout.topOf(at) : 0);
    const isAtTop = scroller.top() < pitch() / 2;
    change();
    updateLayout();
    const now = isAtTop ? -1 : state.rows.indexOf(position);
    scroller.goTo(now < 0 ? (isAtTop ? 0 : scroller.top()) : layout.topOf(now) + offset);
    drawSoon();
  };

  const scrollToFocus = () => {
    if (!state.rows.length) return;
    const top = layout.topOf(state.focus);
    const low = top + pitch() + GAP - box.clientHeight;
    const isFirstRow = top < layout.head + pitch();
    if (isFirstRow) scroller.goTo(0);
    else if (top < scroller.top()) scroller.goTo(top);
    else if (low > scroller.top()) scroller.goTo(low);
    drawSoon();
  };
  const goTo = (place) => { scroller.goTo(place); drawSoon(); };

  box.addEventListener("scroll", () => { scroller.scrolled(); drawSoon(); }, { signal, passive: true });
  const watch = new ResizeObserver(() => keeping(() => {}));
  watch.observe(box);
  signal.addEventListener("abort", () => { watch.disconnect(); cancelAnimationFrame(frame); }, { once: true });
  return {
    box, list, drawSoon, updateLayout, scrollToFocus, keeping, goTo,
    layout: () => layout,
    side: () => side,
    top: () => scroller.top(),
    end: () => scroller.end(),
    isAtTop: () => scroller.top() < pitch() / 2,
    rowsPerPage: () => Math.max(1, Math.floor(box.clientHeight / pitch())),
    scrollToTop: () => goTo(0),
  };
};

/** Elements by key, of which those that are not needed are hidden and used again. */
const makePool = (make) => {
  const used = new Map();
  const free = [];
  const nodeOf = (slot) => slot.node ?? slot;
  return {
    has: (key) => used.has(key),
    keep: (isNeeded) => {
      for (const [key, slot] of used) {
        if (isNeeded(key)) continue;
        used.delete(key);
        free.push(slot);
        nodeOf(slot).hidden = true;
      }
    },
    get: (key) => {
      const known = used.get(key);
      if (known) return { slot: known, isNew: false };
      const slot = free.pop() ?? make();
      nodeOf(slot).hidden = false;
      used.set(key, slot);
      return { slot, isNew: true };
    },
  };
};

const makeHead = (list) => {
  const node = element("div", { className: "imagen-head", role: "presentation" });
  list.append(node);
  return node;
};

const makeSlot = (list) => {
  const image = element("img", { alt: "", decoding: "async", draggable: false });
  const caption = element("div", { className: "imagen-caption" });
  const marks = element("div", { className: "imagen-marks" });
  const node = element("div", { className: "imagen-cell", role: "option" }, element("div", { className: "imagen-frame" }, image), caption, marks);
  list.append(node);
  return { node, image, caption, marks, card: null, score: undefined, was: [] };
};

/** Write only what has changed: this is called for each cell in each frame of scrolling. */
const updateSlot = (slot, card, state, index) => {
  const { node } = slot;
  const now = [index, state.rows.length, state.selection.has(state.rows[index]), index === state.focus];
  if (now.some((value, number) => value !== slot.was[number])) {
    slot.was = now;
    node.setAttribute("aria-selected", now[2]);
    node.setAttribute("aria-posinset", index + 1);
    node.setAttribute("aria-setsize", state.rows.length);
    node.classList.toggle("imagen-focus", now[3]);
  }
  const score = state.scores?.[index];
  if (slot.card === card && slot.score === score && card) return;
  Object.assign(slot, { card, score });
  node.classList.toggle("imagen-lacking", Boolean(card && !card.url));
  slot.image.hidden = !card?.url;
  if (card?.url) slot.image.src = card.url;
  else slot.image.removeAttribute("src");
  if (card) describeCard(slot, card);
  else blankOut(slot);
};

const blankOut = (slot) => {
  slot.image.alt = "";
  slot.node.setAttribute("aria-label", "loading");
  slot.node.title = "";
  slot.caption.replaceChildren();
  slot.marks.replaceChildren();
  slot.node.dataset.tags = "";
};

const describeCard = (slot, card) => {
  const text = visibleText(card.prompt);
  const marks = describeMarks(card);
  slot.image.alt = text;
  slot.node.setAttribute("aria-label", [text, marks, card.trouble].filter(Boolean).join(", "));
  slot.node.title = text;
  slot.node.dataset.tags = card.tags.join(" ");
  slot.caption.replaceChildren(isolatedText(card.trouble || card.prompt));
  const score = slot.score === undefined ? "" : `score ${slot.score.toFixed(1)}`;
  slot.marks.replaceChildren(element("span", {}, marks), element("small", {}, score || (card.seed && `seed ${card.seed}`)));
};

const describeMarks = ({ tags }) => {
  const stars = "★".repeat(starCount(tags));
  const kept = tags.includes("keeper") ? "keeper" : tags.includes("reject") ? "reject" : "";
  return [stars, kept].filter(Boolean).join(" ");
};
