// A grid of thumbnails of which only those in view are in the page.

import { starCount } from "./cards.js";
import { element, isolatedText, visibleText } from "./dom.js";
import { makeScroller } from "./scroller.js";

const CAPTION_HEIGHT = 38; // pixels, of the prompt and the marks below a thumbnail
const GAP = 8;
const EXTRA_ROWS = 2; // rows above and below what is in view

/**
 * The box that scrolls. `state`: rows (positions that are shown), focus (an index of them), selected
 * (a set of positions). `card(position)` gives what is known of one; `onVisible` gets the positions in view.
 */
export const makeGrid = (state, layout, card, onVisible, signal) => {
  const list = element("div", { className: "imagen-list", tabIndex: 0, role: "listbox", "aria-multiselectable": "true", "aria-label": "Pictures" });
  const box = element("div", { className: "imagen-box" }, list);
  const scroller = makeScroller(box, list);
  const placed = new Map(); // slots by index
  const free = [];
  const name = `imagen-${Math.random().toString(36).slice(2)}`;
  let columns = 1;
  let side = layout.size;
  let frame = 0;

  const pitch = () => side + CAPTION_HEIGHT + GAP;
  const inView = () => {
    const first = Math.max(0, Math.floor(scroller.top() / pitch()) - EXTRA_ROWS);
    const last = Math.ceil((scroller.top() + box.clientHeight) / pitch()) + EXTRA_ROWS;
    return [first * columns, Math.min(state.rows.length, last * columns)];
  };

  const draw = () => {
    frame = 0;
    const [first, last] = inView();
    for (const [index, slot] of placed) {
      if (index >= first && index < last) continue;
      placed.delete(index);
      free.push(slot);
      slot.node.hidden = true;
    }
    for (let index = first; index < last; index += 1) placeSlot(index);
    list.setAttribute("aria-activedescendant", placed.has(state.focus) ? `${name}-${state.focus}` : "");
    onVisible([...state.rows.subarray(first + EXTRA_ROWS * columns, last), ...state.rows.subarray(first, first + EXTRA_ROWS * columns)]);
  };
  const drawSoon = () => { frame ||= requestAnimationFrame(draw); };

  const placeSlot = (index) => {
    let slot = placed.get(index);
    if (!slot) {
      slot = free.pop() ?? makeSlot(list);
      placed.set(index, slot);
      slot.node.id = `${name}-${index}`;
      slot.node.dataset.index = index;
      slot.node.hidden = false;
    }
    const x = (index % columns) * (side + GAP);
    const y = scroller.placeOf(Math.floor(index / columns) * pitch());
    slot.node.style.transform = `translate(${x}px, ${y}px)`;
    updateSlot(slot, card(state.rows[index]), state, index);
  };

  const updateLayout = () => {
    const width = box.clientWidth;
    if (!width) return; // not in the page just now
    const room = width - GAP; // without the padding, with a gap after the last column
    columns = layout.columns ?? Math.max(1, Math.floor(room / (layout.size + GAP)));
    side = layout.columns ? layout.size : Math.floor(room / columns) - GAP;
    list.style.setProperty("--side", `${side}px`);
    list.style.width = layout.columns ? `${columns * (side + GAP)}px` : "";
    scroller.setHeight(Math.ceil(state.rows.length / columns) * pitch());
    drawSoon();
  };

  const scrollToFocus = () => {
    const row = Math.floor(state.focus / columns);
    const low = (row + 1) * pitch() + GAP - box.clientHeight;
    if (row * pitch() < scroller.top()) scroller.goTo(row * pitch());
    else if (low > scroller.top()) scroller.goTo(low);
    drawSoon();
  };

  box.addEventListener("scroll", () => { scroller.scrolled(); drawSoon(); }, { signal, passive: true });
  const watch = new ResizeObserver(updateLayout);
  watch.observe(box);
  signal.addEventListener("abort", () => { watch.disconnect(); cancelAnimationFrame(frame); }, { once: true });
  return {
    box, list, drawSoon, updateLayout, scrollToFocus,
    columns: () => columns,
    page: () => Math.max(1, Math.floor(box.clientHeight / pitch())) * columns,
    scrollToTop: () => scroller.goTo(0),
  };
};

const makeSlot = (list) => {
  const image = element("img", { alt: "", decoding: "async", draggable: false });
  const caption = element("div", { className: "imagen-caption" });
  const marks = element("div", { className: "imagen-marks" });
  const node = element("div", { className: "imagen-cell", role: "option" }, element("div", { className: "imagen-frame" }, image), caption, marks);
  list.append(node);
  return { node, image, caption, marks, card: null, was: [] };
};

/** Write only what has changed: this is called for each cell in each frame of scrolling. */
const updateSlot = (slot, card, state, index) => {
  const { node } = slot;
  const now = [index, state.rows.length, state.selected.has(state.rows[index]), index === state.focus];
  if (now.some((value, number) => value !== slot.was[number])) {
    slot.was = now;
    node.setAttribute("aria-selected", now[2]);
    node.setAttribute("aria-posinset", index + 1);
    node.setAttribute("aria-setsize", state.rows.length);
    node.classList.toggle("imagen-focus", now[3]);
  }
  if (slot.card === card && card) return;
  slot.card = card;
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
  slot.marks.replaceChildren(element("span", {}, marks), element("small", {}, card.seed && `seed ${card.seed}`));
};

const describeMarks = ({ tags }) => {
  const stars = "★".repeat(starCount(tags));
  const kept = tags.includes("keeper") ? "keeper" : tags.includes("reject") ? "reject" : "";
  return [stars, kept].filter(Boolean).join(" ");
};
