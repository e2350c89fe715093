// The strip of what was drawn, the newest first.

import { element, visibleText } from "./dom.js";
import { iconButton } from "./icons.js";
import { PICTURE_TYPE } from "./images.js";

const MOST = 100; // pictures; Python has thumbnails of as many

/** `choose(one, url)` makes a picture the current one; `send(what, more)` asks the kernel. */
export const makeStrip = (choose, send, signal) => {
  const node = element("ul", { className: "imagen-panel-strip", "aria-label": "Pictures, newest first" });
  const shown = new Map(); // by id: what is known, its node and its image
  let current = "";

  const mark = (card) => {
    card.node.classList.toggle("imagen-panel-kept", card.one.tags.includes("keeper"));
    card.node.classList.toggle("imagen-panel-rejected", card.one.tags.includes("reject"));
  };
  const pick = (id, focus = false) => {
    const card = shown.get(id);
    if (!card) return;
    current = id;
    for (const each of shown.values()) {
      each.button.setAttribute("aria-current", String(each === card));
      each.button.tabIndex = each === card ? 0 : -1;
    }
    if (focus) card.button.focus();
    const { offsetTop: top, offsetHeight: height } = card.node; // scrolls the strip, not the notebook
    if (top < node.scrollTop || top + height > node.scrollTop + node.clientHeight) node.scrollTop = top;
    choose(card.one, card.image.src);
  };
  const forget = (id) => {
    const card = shown.get(id);
    URL.revokeObjectURL(card.image.src);
    card.node.remove();
    shown.delete(id);
  };
  const make = (one, buffers) => {
    const prompt = visibleText(one.prompt);
    const image = element("img", { alt: prompt, loading: "lazy", draggable: false });
    image.src = URL.createObjectURL(new Blob(buffers, { type: "image/webp" }));
    const open = element("button", { type: "button", title: "look at it", className: "imagen-panel-open" }, image);
    open.addEventListener("click", () => pick(one.id), { signal });
    const start = iconButton("image", "Use as init image", () => send("start-from", { id: one.id }), signal);
    start.tabIndex = -1; // by keyboard: i, on the current picture
    const card = element("li", { draggable: true }, open, start);
    card.addEventListener("dragstart", (event) => event.dataTransfer.setData(PICTURE_TYPE, one.id), { signal });
    return { one, image, button: open, node: card };
  };
  const step = (by) => {
    const ids = [...shown.keys()].reverse();
    const next = ids[Math.min(ids.length - 1, Math.max(0, ids.indexOf(current) + by))];
    if (next && next !== current) pick(next, node.contains(node.getRootNode().activeElement));
  };
  node.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1, Home: -MOST, End: MOST }[event.key];
    if (!by || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    step(by);
  }, { signal });
  return {
    node,
    step,
    newest: () => [...shown.keys()].pop(),
    pick,
    /** A picture that was drawn; whether it becomes the current one is the caller's to say. */
    receive(message, buffers) {
      if (shown.has(message.id)) forget(message.id);
      const card = make(message, buffers);
      shown.set(message.id, card);
      mark(card);
      node.prepend(card.node);
      if (shown.size > MOST) forget(shown.keys().next().value);
    },
    tags(id, tags) {
      const card = shown.get(id);
      if (!card) return;
      card.one.tags = tags;
      mark(card);
    },
    release: () => [...shown.keys()].forEach(forget),
  };
};
