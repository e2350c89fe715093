// A grid of thumbnails of which only those in view are in the page.

import { element, isolated, visible } from "./dom.js";
import { starsOf } from "./thumbs.js";

const BELOW = 38; // pixels: the prompt and the marks below a thumbnail
const GAP = 8;
const OVER = 2; // rows above and below what is in view

/**
 * The box that scrolls. `state`: rows (positions that are shown), focus (an index of them), selected
 * (a set of positions). `card(position)` gives what is known of one; `seen` hears what is in view.
 */
export const gridOf = (state, layout, card, seen, signal) => {
  const list = element("div", { className: "imagen-list", tabIndex: 0, role: "listbox", "aria-multiselectable": "true", "aria-label": "Pictures" });
  const box = element("div", { className: "imagen-box" }, list);
  const placed = new Map(); // slots by index
  const free = [];
  const name = `imagen-${Math.random().toString(36).slice(2)}`;
  let columns = 1;
  let side = layout.size;
  let top = 0;
  let frame = 0;

  const pitch = () => side + BELOW + GAP;
  const inView = () => {
    const first = Math.max(0, Math.floor(box.scrollTop / pitch()) - OVER);
    const last = Math.ceil((box.scrollTop + box.clientHeight) / pitch()) + OVER;
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
    for (let index = first; index < last; index += 1) place(index);
    list.setAttribute("aria-activedescendant", placed.has(state.focus) ? `${name}-${state.focus}` : "");
    seen([...state.rows.subarray(first + OVER * columns, last), ...state.rows.subarray(first, first + OVER * columns)]);
  };
  const soon = () => { frame ||= requestAnimationFrame(draw); };

  const place = (index) => {
    let slot = placed.get(index);
    if (!slot) {
      slot = free.pop() ?? slotOf(list);
      placed.set(index, slot);
      slot.node.id = `${name}-${index}`;
      slot.node.dataset.index = index;
      slot.node.hidden = false;
    }
    const x = (index % columns) * (side + GAP);
    slot.node.style.transform = `translate(${x}px, ${Math.floor(index / columns) * pitch()}px)`;
    fill(slot, card(state.rows[index]), state, index);
  };

  const measure = () => {
    const width = box.clientWidth;
    if (!width) return; // not in the page just now
    const room = width - GAP; // without the padding, with a gap after the last column
    columns = layout.columns ?? Math.max(1, Math.floor(room / (layout.size + GAP)));
    side = layout.columns ? layout.size : Math.floor(room / columns) - GAP;
    list.style.setProperty("--side", `${side}px`);
    list.style.height = `${Math.ceil(state.rows.length / columns) * pitch()}px`;
    list.style.width = layout.columns ? `${columns * (side + GAP)}px` : "";
    box.scrollTop = top;
    soon();
  };

  const reveal = () => {
    const row = Math.floor(state.focus / columns);
    const low = (row + 1) * pitch() + GAP - box.clientHeight;
    if (row * pitch() < box.scrollTop) box.scrollTop = row * pitch();
    else if (low > box.scrollTop) box.scrollTop = low;
    soon();
  };

  box.addEventListener("scroll", () => { top = box.scrollTop; soon(); }, { signal, passive: true });
  const watch = new ResizeObserver(measure);
  watch.observe(box);
  signal.addEventListener("abort", () => { watch.disconnect(); cancelAnimationFrame(frame); }, { once: true });
  return {
    box, list, soon, measure, reveal,
    columns: () => columns,
    page: () => Math.max(1, Math.floor(box.clientHeight / pitch())) * columns,
    home: () => { top = 0; box.scrollTop = 0; },
  };
};

const slotOf = (list) => {
  const image = element("img", { alt: "", decoding: "async", draggable: false });
  const caption = element("div", { className: "imagen-caption" });
  const marks = element("div", { className: "imagen-marks" });
  const node = element("div", { className: "imagen-cell", role: "option" }, element("div", { className: "imagen-frame" }, image), caption, marks);
  list.append(node);
  return { node, image, caption, marks, card: null, was: [] };
};

/** Writes only what has changed: it is called for each cell in each frame of scrolling. */
const fill = (slot, card, state, index) => {
  const { node } = slot;
  const now = [index, state.rows.length, state.selected.has(state.rows[index]), index === state.focus];
  if (now.some((value, place) => value !== slot.was[place])) {
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
  if (card) describe(slot, card);
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

const describe = (slot, card) => {
  const text = visible(card.prompt);
  const marks = marksOf(card);
  slot.image.alt = text;
  slot.node.setAttribute("aria-label", [text, marks, card.trouble].filter(Boolean).join(", "));
  slot.node.title = text;
  slot.node.dataset.tags = card.tags.join(" ");
  slot.caption.replaceChildren(isolated(card.trouble || card.prompt));
  slot.marks.replaceChildren(element("span", {}, marks), element("small", {}, card.seed && `seed ${card.seed}`));
};

const marksOf = ({ tags }) => {
  const stars = "★".repeat(starsOf(tags));
  const kept = tags.includes("keeper") ? "keeper" : tags.includes("reject") ? "reject" : "";
  return [stars, kept].filter(Boolean).join(" ");
};
