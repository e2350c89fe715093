// The keys of a Panel, and the card that tells them.

import { element } from "./dom.js";

const CARD = [
  ["Ctrl-Enter", "draw, from anywhere in the panel"],
  ["Ctrl-Shift-X", "cancel what is being drawn"],
  ["← →", "the picture before, or after, in the strip"],
  ["1, 0, + −", "one to one, fitted, larger, smaller (on the current picture)"],
  ["a, p, s, z", "recall all, prompt, seed, size"],
  ["i, v, r", "use as init image, vary, reproduce"],
  ["k, x", "keeper, reject"],
  ["Shift-1 … Shift-5", "rate; Shift-0 takes it away"],
  ["b", "before and after"],
  ["/", "go to the prompt; Escape goes back to the picture"],
  ["?", "this card"],
];

const isTyping = (target) => target.matches("input:not([type=range]):not([type=checkbox]), textarea, select");

/** `acts`: by key, what it does outside of text boxes; `draw` and `cancel` everywhere. */
export const makeKeys = (root, acts, draw, cancel, signal) => {
  const rows = CARD.map(([key, what]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, what)]);
  const close = element("button", { type: "button" }, "Close");
  const card = element("dialog", { className: "imagen-panel-card", "aria-label": "Keys" },
    element("h3", {}, "Keys"), element("dl", {}, ...rows.flat()), close);
  close.addEventListener("click", () => card.close(), { signal });
  card.addEventListener("click", (event) => event.target === card && card.close(), { signal });
  const open = () => card.open || card.showModal();

  const onKey = (event) => {
    const [target] = event.composedPath(); // marimo's widgets are in the shadow
    if (!root.contains(target)) return;
    const command = event.ctrlKey || event.metaKey;
    // JupyterLab, which listens on the document, would run cells and delete them; "" is no mark for it.
    const ours = !command || event.key === "v" || (isTyping(target) && "acxyz".includes(event.key));
    root.dataset.lmSuppressShortcuts = ours ? "true" : "";
    const stop = () => {
      event.preventDefault();
      event.stopImmediatePropagation();
    };
    if (command && event.key === "Enter") {
      stop();
      draw();
    } else if (command && event.shiftKey && event.key.toLowerCase() === "x") {
      stop();
      cancel();
    } else if (!command && !event.altKey && !target.closest("dialog, canvas")) plain(event, target, stop);
  };
  const plain = (event, target, stop) => {
    if (event.key === "Escape" && isTyping(target)) acts.leave();
    if (isTyping(target) || target.closest("[type=range]")) return;
    const digit = event.shiftKey && /^Digit[0-5]$/.test(event.code) && Number(event.code.slice(-1));
    if (digit !== false && digit !== undefined) acts.rate(digit);
    else if (event.key === "?") open();
    else if (event.key in acts.keys) acts.keys[event.key]();
    else return;
    stop();
  };
  window.addEventListener("keydown", onKey, { signal, capture: true });
  for (const name of ["keydown", "keyup", "keypress"]) { // nbclassic looks at what bubbles
    root.addEventListener(name, (event) => root.dataset.lmSuppressShortcuts && event.stopPropagation(), { signal });
  }
  return { card, open };
};
