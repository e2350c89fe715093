// One picture enlarged, or two compared, above all else on the page.

import { comparison } from "./comparison.js";
import { address, button, copy, element, isolated, visible } from "./dom.js";
import { isRating, starsOf } from "./thumbs.js";

/** A dialog in `root`. `acts`: close, step(by), tag(name), send(message). */
export const lookedAt = (root, acts, signal) => {
  const dialog = element("dialog", { className: "imagen-look" });
  root.append(dialog);
  let shown = null; // what is in it: its position, and how to end it
  const end = () => {
    shown?.over.abort();
    shown = null;
    dialog.replaceChildren();
  };
  const begin = (label, at) => {
    end();
    shown = { at, over: new AbortController(), press: () => false };
    dialog.setAttribute("aria-label", label);
    if (!dialog.open) dialog.showModal();
    return shown;
  };
  dialog.addEventListener("close", () => { end(); acts.close(); }, { signal });
  dialog.addEventListener("keydown", (event) => shown?.press(event), { signal });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); }, { signal });
  signal.addEventListener("abort", end, { once: true });

  return {
    /** Which picture is enlarged, if one is. */
    at: () => shown?.at ?? null,
    open: (at, card) => {
      const now = begin("Picture", at);
      now.press = (event) => pressed(event, acts);
      dialog.append(waiting(card));
      acts.send({ kind: "look", at: [at] });
    },
    picture: (told, buffers, tags) => {
      if (shown?.at !== told.at) return;
      const { over } = begin("Picture", told.at);
      shown.press = (event) => pressed(event, acts);
      dialog.replaceChildren(...enlarged(told, buffers[0], tags, acts, over.signal), closer(dialog, over.signal));
      dialog.querySelector(".imagen-close").focus();
    },
    retag: (tags) => {
      const line = dialog.querySelector(".imagen-tags");
      if (line) line.textContent = tagLine(tags);
    },
    compare: (pair, buffers) => {
      const now = begin("Comparison of two pictures", null);
      const box = element("div", {});
      dialog.replaceChildren(box, closer(dialog, now.over.signal));
      now.press = comparison(box, pair, buffers, now.over.signal);
      dialog.querySelector(".imagen-close").focus();
    },
  };
};

const waiting = (card) => element("img", { src: card?.url ?? "", alt: visible(card?.prompt ?? ""), className: "imagen-waiting" });

const closer = (dialog, signal) => {
  const made = button("×", "Close (Esc)", () => dialog.close(), signal);
  made.classList.add("imagen-close");
  return made;
};

const enlarged = (told, buffer, tags, acts, signal) => {
  const image = buffer.byteLength
    ? element("img", { src: address(buffer, signal), alt: visible(told.prompt) })
    : element("p", { role: "alert" }, told.trouble);
  return [element("figure", {}, image), beside(told, tags, acts, signal)];
};

const beside = (told, tags, acts, signal) => {
  const facts = told.facts.filter(([name]) => name !== "tags").flatMap(([name, value]) => [
    element("dt", {}, isolated(name)), element("dd", {}, isolated(value)),
  ]);
  const said = element("p", { className: "imagen-words" }, isolated(told.prompt));
  const copies = [button("Copy prompt", "Copy prompt", () => copy(told.prompt), signal)];
  if (told.path) copies.push(button("Copy path", "Copy path", () => copy(told.path), signal));
  return element(
    "div", { className: "imagen-beside" }, said, element("p", {}, ...copies),
    element("p", { className: "imagen-tags" }, tagLine(tags)), element("p", {}, ...rating(acts, signal)),
    element("dl", {}, ...facts),
  );
};

const rating = (acts, signal) => [
  button("‹", "Previous (←)", () => acts.step(-1), signal),
  button("›", "Next (→)", () => acts.step(1), signal),
  ...[1, 2, 3, 4, 5].map((stars) => button(`${stars}★`, `Rate ${stars} (${stars})`, () => acts.tag(`${stars}`), signal)),
  button("☆", "Unrate (0)", () => acts.tag("0"), signal),
  button("Keep", "Keeper (k)", () => acts.tag("keeper"), signal),
  button("Reject", "Reject (x)", () => acts.tag("reject"), signal),
];

const tagLine = (tags) => {
  const others = tags.filter((tag) => !isRating(tag));
  return ["★".repeat(starsOf(tags)), ...others].filter(Boolean).map(visible).join(" · ");
};

const pressed = (event, acts) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const tag = tagOf(event.key);
  if (step) acts.step(step);
  else if (tag) acts.tag(tag);
  else return;
  event.preventDefault();
};

/** The change of tags that a key stands for. */
export const tagOf = (key) => ({ k: "keeper", x: "reject" }[key] ?? (/^[0-5]$/.test(key) ? key : null));
