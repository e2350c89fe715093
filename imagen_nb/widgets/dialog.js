// One picture enlarged, or two compared, above all else on the page.

import { isRating, starCount } from "./cards.js";
import { showComparison } from "./comparison.js";
import { button, copyText, element, isolatedText, objectUrl, visibleText } from "./dom.js";

/** A dialog in `root`. `actions`: close, step(by), tag(name), send(message). */
export const makePictureDialog = (root, actions, signal) => {
  const dialog = element("dialog", { className: "imagen-look" });
  root.append(dialog);
  let shown = null; // what is in it: its position, and how to end it
  const clear = () => {
    shown?.controller.abort();
    shown = null;
    dialog.replaceChildren();
  };
  const openDialog = (label, at) => {
    clear();
    shown = { at, controller: new AbortController(), onKeyDown: () => false };
    dialog.setAttribute("aria-label", label);
    if (!dialog.open) dialog.showModal();
    return shown;
  };
  dialog.addEventListener("close", () => { clear(); actions.close(); }, { signal });
  dialog.addEventListener("keydown", (event) => shown?.onKeyDown(event), { signal });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); }, { signal });
  signal.addEventListener("abort", clear, { once: true });

  return {
    /** Which picture is enlarged, if one is. */
    at: () => shown?.at ?? null,
    open: (at, card) => {
      const now = openDialog("Picture", at);
      now.onKeyDown = (event) => onKeyDown(event, actions);
      dialog.append(placeholder(card));
      actions.send({ kind: "look", at: [at] });
    },
    picture: (message, buffers, tags) => {
      if (shown?.at !== message.at) return;
      const { controller } = openDialog("Picture", message.at);
      shown.onKeyDown = (event) => onKeyDown(event, actions);
      dialog.replaceChildren(...enlargedPicture(message, buffers[0], tags, actions, controller.signal), closeButton(dialog, controller.signal));
      dialog.querySelector(".imagen-close").focus();
    },
    retag: (tags) => {
      const line = dialog.querySelector(".imagen-tags");
      if (line) line.textContent = tagLine(tags);
    },
    compare: (pair, buffers) => {
      const now = openDialog("Comparison of two pictures", null);
      const box = element("div", {});
      dialog.replaceChildren(box, closeButton(dialog, now.controller.signal));
      now.onKeyDown = showComparison(box, pair, buffers, now.controller.signal);
      dialog.querySelector(".imagen-close").focus();
    },
  };
};

const placeholder = (card) => element("img", { src: card?.url ?? "", alt: visibleText(card?.prompt ?? ""), className: "imagen-waiting" });

const closeButton = (dialog, signal) => {
  const made = button("×", "Close (Esc)", () => dialog.close(), signal);
  made.classList.add("imagen-close");
  return made;
};

const enlargedPicture = (message, buffer, tags, actions, signal) => {
  const image = buffer.byteLength
    ? element("img", { src: objectUrl(buffer, signal), alt: visibleText(message.prompt) })
    : element("p", { role: "alert" }, message.trouble);
  return [element("figure", {}, image), factsColumn(message, tags, actions, signal)];
};

const factsColumn = (message, tags, actions, signal) => {
  const facts = message.facts.filter(([name]) => name !== "tags").flatMap(([name, value]) => [
    element("dt", {}, isolatedText(name)), element("dd", {}, isolatedText(value)),
  ]);
  const said = element("p", { className: "imagen-words" }, isolatedText(message.prompt));
  const copies = [button("Copy prompt", "Copy prompt", () => copyText(message.prompt), signal)];
  if (message.path) copies.push(button("Copy path", "Copy path", () => copyText(message.path), signal));
  return element(
    "div", { className: "imagen-beside" }, said, element("p", {}, ...copies),
    element("p", { className: "imagen-tags" }, tagLine(tags)), element("p", {}, ...ratingButtons(actions, signal)),
    element("dl", {}, ...facts),
  );
};

const ratingButtons = (actions, signal) => [
  button("‹", "Previous (←)", () => actions.step(-1), signal),
  button("›", "Next (→)", () => actions.step(1), signal),
  ...[1, 2, 3, 4, 5].map((stars) => button(`${stars}★`, `Rate ${stars} (${stars})`, () => actions.tag(`${stars}`), signal)),
  button("☆", "Unrate (0)", () => actions.tag("0"), signal),
  button("Keep", "Keeper (k)", () => actions.tag("keeper"), signal),
  button("Reject", "Reject (x)", () => actions.tag("reject"), signal),
];

const tagLine = (tags) => {
  const others = tags.filter((tag) => !isRating(tag));
  return ["★".repeat(starCount(tags)), ...others].filter(Boolean).map(visibleText).join(" · ");
};

const onKeyDown = (event, actions) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const tag = tagOfKey(event.key);
  if (step) actions.step(step);
  else if (tag) actions.tag(tag);
  else return;
  event.preventDefault();
};

/** The change of tags that a key stands for. */
export const tagOfKey = (key) => ({ k: "keeper", x: "reject" }[key] ?? (/^[0-5]$/.test(key) ? key : null));
