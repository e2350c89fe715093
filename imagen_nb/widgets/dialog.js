// One picture enlarged, or several compared, above all else on the page.

import { isRating, starCount } from "./cards.js";
import { showComparison } from "./comparison.js";
import { button, copyText, element, isolatedText, objectUrl, visibleText } from "./dom.js";
import { makeFamily } from "./family.js";
import { makeZoom } from "./zoom.js";

/**
 * A dialog in `root`. `actions`: close, step(by), look(at), tag(name), findLike(at), send(message),
 * knownTags().
 */
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
    shown = { at, controller: new AbortController(), onKeyDown: () => false, retag: () => {}, say: () => {} };
    dialog.setAttribute("aria-label", label);
    if (!dialog.open) dialog.showModal();
    return shown;
  };
  const fill = (...parts) => {
    dialog.replaceChildren(...parts, closeButton(dialog, shown.controller.signal));
    dialog.querySelector(".imagen-close").focus();
  };
  dialog.addEventListener("close", () => { clear(); actions.close(); }, { signal });
  dialog.addEventListener("keydown", (event) => shown?.onKeyDown(event), { signal });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); }, { signal });
  signal.addEventListener("abort", clear, { once: true });

  return {
    isOpen: () => dialog.open,
    /** Which picture is enlarged, if one is. */
    at: () => shown?.at ?? null,
    close: () => dialog.close(),
    open: (at, card) => {
      const now = openDialog("Picture", at);
      now.onKeyDown = (event) => onKeyDown(event, actions);
      dialog.append(placeholder(card));
      actions.send({ kind: "look", at: [at] });
    },
    picture: (message, buffers, tags) => {
      if (shown?.at !== message.at) return;
      const now = openDialog("Picture", message.at);
      const { signal: ended } = now.controller;
      const stage = makeStage(message, buffers[0], ended);
      const beside = makeBeside(message, actions, ended);
      Object.assign(now, { retag: beside.retag, say: beside.say });
      now.onKeyDown = (event) => onKeyDown(event, actions, stage.toggle);
      fill(stage.root, beside.root);
      now.retag(tags);
      stage.start();
    },
    family: (message, buffers) => {
      if (shown?.at !== message.at) return;
      const look = (at) => actions.look(at);
      dialog.querySelector(".imagen-beside dl")?.before(makeFamily(message.relatives, buffers, look, shown.controller.signal));
    },
    retag: (tags) => shown?.retag(tags),
    say: (text) => shown?.say(text),
    complain: (text) => shown?.say(text, true),
    compare: (message, buffers) => {
      const now = openDialog("Comparison of pictures", null);
      const box = element("div", {});
      fill(box);
      now.onKeyDown = showComparison(box, message, buffers, now.controller.signal);
    },
    sheet: (text, buffer) => {
      const now = openDialog("Contact sheet", null);
      const url = objectUrl(buffer, now.controller.signal);
      const save = element("a", { href: url, download: "contact-sheet.png", className: "imagen-button" }, "Save as a file");
      const image = element("img", { src: url, alt: text });
      fill(element("div", { className: "imagen-sheet" }, element("p", {}, `${text} `, save), image));
    },
  };
};

const placeholder = (card) => element("div", { className: "imagen-room" }, element("img", { src: card?.url ?? "", alt: visibleText(card?.prompt ?? ""), className: "imagen-waiting" }));

const closeButton = (dialog, signal) => {
  const made = button("×", "Close (Esc)", () => dialog.close(), signal);
  made.classList.add("imagen-close");
  return made;
};

/** Where the picture is: zoomed by the wheel, moved by the mouse. `start` once it is on the page. */
const makeStage = (message, buffer, signal) => {
  if (!buffer.byteLength) {
    const root = element("div", { className: "imagen-room" }, element("p", { role: "alert" }, message.trouble));
    return { root, toggle: () => {}, start: () => {} };
  }
  const image = element("img", { src: objectUrl(buffer, signal), alt: visibleText(message.prompt) });
  const stage = element("div", { className: "imagen-zoom" }, image);
  const scale = element("span", { role: "status" });
  let zoom = null;
  const toggle = () => (zoom.isFitted() ? zoom.actual() : zoom.fit());
  const tools = element("div", { className: "imagen-line" },
    button("Fit", "Fit into the window (z)", () => zoom.fit(), signal),
    button("1:1", "One pixel for each of the picture's (z)", () => zoom.actual(), signal), scale);
  stage.addEventListener("zoom", ({ detail }) => {
    scale.textContent = `${Math.round(detail.scale * (window.devicePixelRatio || 1) * 100)} %`;
  }, { signal });
  return {
    root: element("div", { className: "imagen-room" }, stage, tools), toggle,
    start: () => { zoom = makeZoom(stage, image, signal); },
  };
};

/** What is known of a picture and what can be done with it, a section each; its family comes later. */
const makeBeside = (message, actions, signal) => {
  const said = element("p", { role: "status", className: "imagen-told" });
  const tags = makeTags(message.at, actions, signal);
  const root = element(
    "div", { className: "imagen-beside" },
    element("p", { className: "imagen-words" }, isolatedText(message.prompt)),
    copyButtons(message, actions, signal), tags.root,
    element("p", {}, ...ratingButtons(actions, signal)),
    panelButtons(message.at, actions, signal), said, factList(message),
  );
  const say = (text, isTrouble = false) => {
    said.textContent = text;
    said.classList.toggle("imagen-trouble", isTrouble);
  };
  return { root, retag: tags.show, say };
};

const copyButtons = (message, actions, signal) => {
  const copies = [button("Copy prompt", "Copy prompt", () => copyText(message.prompt), signal)];
  if (message.path) copies.push(button("Copy path", "Copy path", () => copyText(message.path), signal));
  const like = button("More like this", "Show first what is most like this picture (m)", () => actions.findLike(message.at), signal);
  return element("p", {}, ...copies, like);
};

const factList = (message) => element("dl", {}, ...message.facts.filter(([name]) => name !== "tags").flatMap(([name, value]) => [
  element("dt", {}, isolatedText(name)), element("dd", {}, isolatedText(value)),
]));

const ratingButtons = (actions, signal) => [
  button("‹", "Previous (←)", () => actions.step(-1), signal),
  button("›", "Next (→)", () => actions.step(1), signal),
  ...[1, 2, 3, 4, 5].map((stars) => button(`${stars}★`, `Rate ${stars} (${stars})`, () => actions.tag(`${stars}`), signal)),
  button("☆", "Unrate (0)", () => actions.tag("0"), signal),
  button("Keep", "Keeper (k)", () => actions.tag("keeper"), signal),
  button("Reject", "Reject (x)", () => actions.tag("reject"), signal),
];

const panelButtons = (at, actions, signal) => {
  const to = (text, title, part) => button(text, title, () => actions.send({ kind: "panel", part, at: [at] }), signal);
  return element("p", { role: "group", "aria-label": "To the Panel" },
    element("span", {}, "To the Panel:"),
    to("Recall all", "Set the Panel as for this picture", "all"), to("Prompt", "Recall the prompt", "prompt"),
    to("Seed", "Recall the seed", "seed"), to("Size", "Recall the size", "size"),
    to("Use as init image", "Draw from this picture", "init"), to("Reproduce", "Draw it again and compare", "reproduce"));
};

/** The tags of a picture, each with a button that takes it away, and a field for more. */
const makeTags = (at, actions, signal) => {
  const list = element("datalist", { id: `imagen-known-${Math.random().toString(36).slice(2)}` });
  const input = element("input", { type: "text", placeholder: "add a tag", "aria-label": "Add a tag", maxLength: 200 });
  input.setAttribute("list", list.id);
  const chips = element("span", {});
  const retag = (add, remove) => actions.send({ kind: "retag", add, remove, at: [at] });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !input.value.trim()) return;
    retag([input.value.trim()], []);
    input.value = "";
    event.preventDefault();
  }, { signal });
  const chip = (tag) => element("span", { className: "imagen-chip" }, isolatedText(tag), button("×", `Remove the tag ${tag}`, () => retag([], [tag]), signal));
  return {
    root: element("p", { className: "imagen-tagline" }, chips, input, list),
    show: (tags) => {
      const stars = starCount(tags);
      const others = tags.filter((tag) => !isRating(tag));
      chips.replaceChildren(...(stars ? [element("span", { className: "imagen-stars" }, "★".repeat(stars))] : []), ...others.map(chip));
      list.replaceChildren(...actions.knownTags().filter((tag) => !tags.includes(tag)).map((value) => element("option", { value })));
    },
  };
};

const onKeyDown = (event, actions, zoom = () => {}) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const tag = tagOfKey(event.key);
  if (step) actions.step(step);
  else if (tag) actions.tag(tag);
  else if (event.key === "z") zoom();
  else if (event.key === "m") actions.findLike(actions.at());
  else return;
  event.preventDefault();
};

/** The change of tags that a key stands for. */
export const tagOfKey = (key) => ({ k: "keeper", x: "reject" }[key] ?? (/^[0-5]$/.test(key) ? key : null));
