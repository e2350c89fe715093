// The widget Duel: two pictures, keys that say which is better, and the next two at hand.

import { blockNotebookKeys, button, element, isolatedText, objectUrl } from "./dom.js";
import { connect } from "./wire.js";

const KEYS = "← → the better one · ↓ or = a tie · Space or s skips · u or Backspace takes back";
const OUTCOMES = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie", "=": "tie", " ": "skip", s: "skip" };
const UNDO = ["u", "Backspace"];
const BUTTONS = [["← Left", "left", "The left one is better (←)"], ["= Tie", "tie", "Neither is better (↓ or =)"],
  ["Right →", "right", "The right one is better (→)"], ["Skip", "skip", "No answer (Space or s)"]];

const render = ({ model, el }) => {
  const controller = new AbortController();
  const { signal } = controller;
  const view = crypto.randomUUID?.() ?? String(Math.random());
  const duel = makeDuel(view, (message) => tell({ view, ...message }), signal);
  const tell = connect(model, (message, buffers) => {
    if (!message.view || message.view === view || message.kind === "turn") duel.hear(message, buffers);
  }, signal);
  el.append(duel.root);
  tell({ kind: "open", view });
  return () => {
    controller.abort();
    tell({ kind: "left", view });
  };
};

const makeDuel = (view, send, signal) => {
  const parts = makeParts();
  const pairs = new Map(); // by key: all that may be shown soon
  const now = { line: [], sent: 0, shown: null, since: 0, over: false, isWaiting: true };

  const show = () => {
    const next = pairs.get(now.line[0]);
    const isReady = Boolean(next?.ready);
    parts.root.classList.toggle("imagen-loading", now.isWaiting && !isReady);
    if (!isReady || next === now.shown) return;
    now.shown?.root.classList.remove("imagen-now");
    next.root.classList.add("imagen-now");
    parts.prompt.replaceChildren(isolatedText(next.prompt));
    now.shown = next;
    now.since = performance.now();
  };
  const isAsking = () => !now.over && now.shown !== null && now.shown === pairs.get(now.line[0]);
  const vote = (outcome) => {
    if (!isAsking()) return;
    const seconds = (performance.now() - now.since) / 1000;
    const key = now.line.shift();
    now.isWaiting = true;
    show(); // before anything else
    now.sent += 1;
    send({ kind: "vote", key, outcome, seconds, sent: now.sent });
  };
  const undo = () => {
    now.line = []; // what is pressed until the kernel answers is no vote on what is shown
    show();
    now.sent += 1;
    send({ kind: "undo", sent: now.sent });
  };
  const goOn = () => {
    if (!now.over) return;
    now.sent += 1;
    send({ kind: "go on", sent: now.sent });
    parts.root.focus({ preventScroll: true });
  };
  const turnTo = (message) => {
    now.line = message.line;
    now.isWaiting = message.line.length > 0; // else there is nothing to ask
    if (!now.isWaiting) parts.prompt.replaceChildren();
    for (const [key, pair] of pairs) {
      if (message.line.includes(key)) continue;
      pair.drop();
      pairs.delete(key);
      if (pair === now.shown) now.shown = null;
    }
    setOver(message.over);
    show();
  };
  const setOver = (over) => {
    now.over = over;
    parts.root.classList.toggle("imagen-over", over);
    parts.end.hidden = !over;
  };
  const handlers = {
    pair: (message, buffers) => {
      if (pairs.has(message.key)) return;
      const pair = makePair(message, buffers, signal);
      pairs.set(message.key, pair);
      parts.pairs.append(pair.root);
      pair.decoded.then(() => {
        pair.ready = true;
        show();
      });
    },
    turn: (message) => {
      parts.root.hidden = false;
      parts.root.classList.add("imagen-live");
      parts.root.setAttribute("aria-label", message.question);
      parts.question.replaceChildren(isolatedText(message.question));
      parts.status.textContent = message.text;
      if (message.view !== view || message.sent >= now.sent) turnTo(message); // else it is out of date
    },
    said: (message) => { parts.status.textContent = message.text; },
    note: (message) => { parts.note.textContent = message.text; },
    trouble: (message) => {
      parts.root.hidden = false;
      parts.trouble.textContent = message.text;
    },
    end: (message, buffers) => {
      parts.end.replaceChildren(...endOf(message, buffers, signal));
      setOver(true);
    },
  };
  const more = button("Go on", "Ask for more (Enter)", goOn, signal);
  more.classList.add("imagen-more");
  parts.acts.append(more, ...BUTTONS.map(([text, outcome, title]) => button(text, title, () => vote(outcome), signal)),
    button("Undo", "Take the last answer back (u or Backspace)", undo, signal));
  listen(parts.root, { vote, undo, goOn }, signal);
  signal.addEventListener("abort", () => { for (const pair of pairs.values()) pair.drop(); }, { once: true });
  return { root: parts.root, hear: (message, buffers) => handlers[message.kind]?.(message, buffers) };
};

const makeParts = () => {
  const made = {
    question: element("p", { className: "imagen-question" }),
    prompt: element("p", { className: "imagen-words" }),
    pairs: element("div", { className: "imagen-pairs" }),
    end: element("div", { className: "imagen-end", hidden: true }),
    acts: element("div", { className: "imagen-modes" }),
    status: element("p", { role: "status" }),
    note: element("p", { className: "imagen-note" }),
    trouble: element("p", { role: "alert" }),
  };
  const keys = element("p", { className: "imagen-note" }, element("span", { className: "imagen-aim" }, "Click here, then: "), KEYS);
  made.root = element("div", { className: "imagen-widget imagen-duel", tabIndex: 0, role: "group", hidden: true },
    made.question, made.prompt, made.pairs, made.end, made.acts, made.status, made.trouble, made.note, keys);
  return made;
};

/** Two pictures side by side, which nobody sees yet; `drop` when nobody will any more. */
const makePair = (message, buffers) => {
  const controller = new AbortController();
  const images = buffers.map((buffer, place) => element("img",
    { alt: ["the left picture", "the right picture"][place], draggable: false, src: objectUrl(buffer, controller.signal) }));
  const root = element("div", { className: "imagen-pair" }, ...images.map((image) => element("figure", {}, image)));
  root.dataset.key = message.key;
  return {
    root,
    prompt: message.prompt,
    ready: false,
    decoded: Promise.allSettled(images.map((image) => image.decode())),
    drop: () => {
      controller.abort();
      root.remove();
    },
  };
};

/** What is shown at the end: the best pictures of each group. */
const endOf = (message, buffers, signal) => {
  let place = 0;
  const rows = message.groups.map((count, group) => {
    const figures = buffers.slice(place, place + count).map((buffer, number) => element("figure", {},
      element("img", { alt: `place ${number + 1}`, draggable: false, src: objectUrl(buffer, signal) }),
      element("figcaption", {}, String(number + 1))));
    place += count;
    return element("section", {}, element("p", { className: "imagen-words" }, isolatedText(message.prompts[group])),
      element("div", { className: "imagen-best" }, ...figures));
  });
  return [element("p", {}, "The order of the best is sure enough."), ...rows];
};

const listen = (root, { vote, undo, goOn }, signal) => {
  blockNotebookKeys(root, signal);
  root.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const isButton = event.target.matches("button");
    if (isButton && (event.key === " " || event.key === "Enter")) return; // which it presses
    if (Object.hasOwn(OUTCOMES, event.key)) {
      event.preventDefault();
      if (!event.repeat) vote(OUTCOMES[event.key]);
    } else if (UNDO.includes(event.key)) {
      event.preventDefault();
      if (!event.repeat) undo();
    } else if (event.key === "Enter") goOn();
  }, { signal });
  // After a click the keys are ours, Space among them; a button that was pressed by a key keeps the focus.
  root.addEventListener("click", (event) => event.detail > 0 && root.focus({ preventScroll: true }), { signal });
};

export default { render };
