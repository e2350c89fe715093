// What is being drawn now: how far it is, and the picture as it grows.

import { element, visibleText } from "./dom.js";

const PATIENCE_MS = 400; // a drawing that takes no longer is not announced

/** `show(image)` puts the growing picture, `{url, width, height}`, on the stage; null takes it away. */
export const makeLive = (show, signal) => {
  const progress = element("progress", { max: 1, "aria-label": "progress of the picture" });
  const left = element("small");
  const title = element("span", { className: "imagen-panel-title", dir: "auto" });
  const node = element("div", { className: "imagen-panel-live", hidden: true }, progress, left, title);
  const now = { item: null, url: "", timer: 0 };

  const release = () => {
    if (now.url) URL.revokeObjectURL(now.url);
    now.url = "";
  };
  signal.addEventListener("abort", () => {
    clearTimeout(now.timer);
    release();
  }, { once: true });
  return {
    node,
    /** What is being drawn according to the queue; undefined for nothing. */
    receive(item) {
      if (now.item?.id === item?.id) return;
      now.item = item;
      clearTimeout(now.timer);
      if (!item) {
        node.hidden = true;
        show(null);
        release();
        return;
      }
      title.textContent = visibleText(item.title);
      left.textContent = "getting ready to draw";
      progress.removeAttribute("value"); // how long that takes, nobody knows
      now.timer = setTimeout(() => (node.hidden = false), PATIENCE_MS);
    },
    step(message, buffers) {
      if (!now.item) return;
      progress.max = message.steps;
      progress.value = message.step;
      left.textContent = `step ${message.step} of ${message.steps}, ${message.left}`;
      node.hidden = false;
      if (!buffers.length) return;
      const before = now.url;
      now.url = URL.createObjectURL(new Blob([buffers[0]], { type: "image/webp" }));
      show({ url: now.url, width: now.item.width, height: now.item.height });
      if (before) URL.revokeObjectURL(before);
    },
    cancelling: () => (left.textContent = "cancelling …"),
  };
};
