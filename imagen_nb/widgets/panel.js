// The strip of a Panel: shows what Python's messages say, and sends what a person asks for.
// All text that comes from outside goes through textContent or attributes: never through HTML.

import { copyText, element, visibleText } from "./dom.js";

const LIVE_CLASS = "imagen-live"; // see saved_page.py

/** A button that is called what is written on it. */
function button(text, title, act, className = "") {
  const node = element("button", { type: "button", title, className }, text);
  node.addEventListener("click", act);
  return node;
}

/** Show the picture that came with a message, in place of the one before. */
function showPicture(image, buffers) {
  if (image.src) URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(new Blob([buffers[0]], { type: "image/webp" }));
}

function makeBar(send, draw) {
  const drawButton = button("Draw", "draw this (Ctrl-Enter in the prompt)", draw, "imagen-go");
  const cancel = button("Cancel", "stop what is being drawn at its next step", () =>
    send("remove", { id: Number(cancel.dataset.id) }),
  );
  const resume = button("Resume", "draw what waits from before", () => send("resume"));
  const status = element("span", { className: "imagen-said", role: "status" }); // read out politely
  const failed = element("div", { className: "imagen-failed", role: "alert", hidden: true });
  const row = element("div", { className: "imagen-buttons" }, drawButton, cancel, resume, status);
  return { row, cancel, resume, status, failed };
}

function makeProgress() {
  const progress = element("progress", { max: 1, value: 0, "aria-label": "progress of the picture" });
  const left = element("small");
  const preview = element("img", { alt: "the picture so far", hidden: true });
  const title = element("div", { className: "imagen-title" });
  const box = element("div", { className: "imagen-drawing", hidden: true }, preview,
    element("div", {}, title, progress, " ", left));
  return { box, progress, left, preview, title };
}

/** One request that waits, or could not be drawn. */
function makeQueueItem(item, send) {
  const act = (text, what, title) =>
    button(text, title, () => send(what, { id: item.id }), `imagen-${what}`);
  const named = (node, what) => {
    node.setAttribute("aria-label", `${what}: ${visibleText(item.title)}`);
    node.dataset.key = `${item.id} ${node.className}`; // keeps the focus when the list is renewed
    return node;
  };
  const title = element("span", { className: "imagen-title", dir: "auto" }, visibleText(item.title));
  const seed = element("small", {}, item.seed === null ? "" : ` seed ${item.seed}`);
  const node = element("li", {}, title, seed);
  if (item.error) {
    node.append(element("div", { className: "imagen-failed" }, item.error));
    node.append(named(act("Retry", "retry", "draw it after all"), "Retry"));
  } else if (!item.mine) node.append(element("small", {}, " from before"));
  if (!item.error) {
    node.append(named(act("↑", "up", "draw it earlier"), "Earlier"));
    node.append(named(act("↓", "down", "draw it later"), "Later"));
  }
  node.append(named(act("Remove", "remove", "do not draw it"), "Remove"));
  return node;
}

const copyPath = (path, showStatus) =>
  copyText(path).then(() => showStatus(`copied: ${path}`), () => showStatus(`copy it by hand: ${path}`));

/** One picture with what can be done with it. */
function makeCard(one, buffers, send, showStatus) {
  const ask = (what, more = {}) => send(what, { id: one.id, ...more });
  const prompt = visibleText(one.prompt);
  const image = element("img", { alt: prompt, loading: "lazy" });
  showPicture(image, buffers);
  const large = button("", "enlarge", () => ask("enlarge"), "imagen-large");
  large.append(image);
  const marks = ["keeper", "reject"].map((tag) => {
    const node = button(tag, `tag it ${tag}, or take the tag away`, () =>
      ask("mark", { tag, on: node.getAttribute("aria-pressed") !== "true" }),
    );
    return node;
  });
  const recall = (part) =>
    button(`Recall ${part}`, `set the controls: ${part}`, () => ask("recall", { part }));
  const verdict = element("small", { className: "imagen-verdict" }, one.verdict);
  const node = element("li", { className: "imagen-card", "aria-label": `${prompt}, ${one.summary}` }, large,
    element("div", { className: "imagen-title", title: prompt, dir: "auto" }, prompt),
    element("small", {}, one.summary), verdict,
    element("div", { className: "imagen-acts" },
      recall("all"), recall("prompt"), recall("seed"),
      button("Reproduce", "draw it again and compare", () => ask("reproduce")), ...marks,
      button("Copy path", one.path, () => copyPath(one.path, showStatus))));
  const mark = (tags) => {
    for (const b of marks) b.setAttribute("aria-pressed", String(tags.includes(b.textContent)));
  };
  mark(one.tags);
  return { node, image, mark };
}

/** Show what is wrong, each problem beside its control. */
function showProblems(root, problems) {
  for (const old of root.querySelectorAll(".imagen-problem")) old.remove();
  for (const input of root.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
  for (const [name, text] of Object.entries(problems)) {
    const control = root.querySelector(`.imagen-${name}`);
    const input = control?.querySelector("input, textarea, select");
    if (!input) continue;
    const line = element("div", { className: "imagen-problem", role: "alert" }, text);
    line.id = `imagen-problem-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
    control.append(line);
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", line.id);
  }
}

function makeEnlarged() {
  const image = element("img");
  const close = button("Close", "close (Escape)", () => dialog.close());
  const dialog = element("dialog", { className: "imagen-enlarged" }, image, close);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  return { dialog, image };
}

/** The controls in which people type, and those of them that each choice sets. */
const TYPED = ["width", "height", "steps", "guidance", "seed", "count", "tags"];
const SET_BY = { size: ["width", "height"], backend: ["width", "height", "steps", "guidance"] };

/**
 * Where was typed since the last drawing. Other widgets send that, and wait while the kernel is busy:
 * a request to draw, which does not, would overtake them.
 */
function makeTyped(root) {
  const names = new Set();
  return {
    note({ target }) {
      const isOf = (name) => target.closest(`.imagen-${name}`);
      const choice = Object.keys(SET_BY).find(isOf);
      for (const name of SET_BY[choice] ?? []) names.delete(name);
      const typed = TYPED.find(isOf);
      if (typed) names.add(typed);
    },
    noteClick({ target }) {
      if (target.closest(".imagen-dice")) names.delete("seed");
    },
    /** The kernel sets them all. */
    forget: () => names.clear(),
    /** As they are shown; a number that is none is left to its widget. */
    values() {
      const shown = [...names].map((name) => {
        const input = root().querySelector(`.imagen-${name} input`);
        return [name, input.type === "number" ? input.valueAsNumber : input.value];
      });
      names.clear();
      return Object.fromEntries(shown.filter(([, value]) => !Number.isNaN(value)));
    },
  };
}

function render({ model, el }) {
  const controller = new AbortController();
  const send = (what, more = {}) => {
    top.failed.hidden = true; // that was of what was asked before
    if (what === "recall") typed.forget();
    model.send({ do: what, ...more });
  };
  const root = () => el.closest(".imagen-panel") ?? el;
  const typed = makeTyped(root);
  const prompt = () => root().querySelector(".imagen-prompt textarea");
  const draw = () => {
    // A number still being typed is sent first: its box sends it when it is left, or Enter hit.
    root().querySelector(":focus")?.dispatchEvent(new Event("change", { bubbles: true }));
    send("draw", { prompt: prompt()?.value ?? "", typed: typed.values() });
  };
  const top = makeBar(send, draw);
  const now = makeProgress();
  const queue = element("ol", { className: "imagen-queue", "aria-label": "Waiting" });
  const more = element("small", { className: "imagen-more" });
  const cards = element("ul", { className: "imagen-cards", "aria-label": "Pictures, newest first" });
  const missing = element("details", { className: "imagen-missing", hidden: true });
  const large = makeEnlarged();
  const shown = new Map(); // of cards, by id
  el.append(top.row, top.failed, missing, now.box, queue, more, cards, large.dialog);
  el.classList.add("imagen-strip");

  const showStatus = (text) => (top.status.textContent = text);
  const forget = (id) => {
    URL.revokeObjectURL(shown.get(id).image.src);
    shown.get(id).node.remove();
    shown.delete(id);
  };
  /** Show what is being drawn now, if it takes longer than a moment. */
  const showCurrent = (item) => {
    if (now.id === item?.id) return;
    now.id = item?.id;
    clearTimeout(now.late);
    if (!item) {
      now.box.hidden = now.preview.hidden = true;
      return;
    }
    now.title.textContent = visibleText(item.title);
    now.left.textContent = "getting ready to draw";
    now.progress.removeAttribute("value"); // how long that takes, nobody knows
    now.preview.classList.add("imagen-blank");
    now.late = setTimeout(() => (now.box.hidden = false), 400);
  };
  const handlers = {
    hello: (message) => {
      el.classList.add(LIVE_CLASS);
      missing.hidden = !message.missing.length;
      missing.replaceChildren(element("summary", {}, "Backends that cannot draw here"),
        ...message.missing.map((one) => element("div", {}, element("b", {}, one.name), `: ${one.why}`)));
      for (const old of root().querySelectorAll(".imagen-why")) old.remove();
      for (const [name, text] of Object.entries(message.notes)) {
        const line = element("small", { className: "imagen-why" }, text);
        root().querySelector(`.imagen-${name}`)?.append(line);
      }
    },
    checks: (message) => showProblems(root(), message.problems),
    said: (message) => showStatus(message.text),
    failed: (message) => {
      top.failed.hidden = !message.text;
      top.failed.textContent = message.text;
    },
    step: (message, buffers) => {
      now.progress.max = message.steps;
      now.progress.value = message.step;
      now.left.textContent = `step ${message.step} of ${message.steps}, ${message.left}`;
      now.box.hidden = false;
      if (!buffers.length) return;
      showPicture(now.preview, buffers);
      now.preview.hidden = false;
      now.preview.classList.remove("imagen-blank");
    },
    queue: (message) => {
      const current = message.items.find((item) => item.drawing);
      top.cancel.disabled = !current;
      top.cancel.dataset.id = current?.id;
      top.resume.hidden = !message.resumable;
      top.resume.textContent = `Resume ${message.resumable}`;
      showCurrent(current);
      const focused = queue.querySelector(":focus")?.dataset.key;
      queue.replaceChildren(...message.items.filter((item) => !item.drawing).map((i) => makeQueueItem(i, send)));
      if (focused) [...queue.querySelectorAll("button")].find((b) => b.dataset.key === focused)?.focus();
      const rest = message.more ? [`and ${message.more} more`] : [];
      if (message.elsewhere) rest.push(`${message.elsewhere} wait in other panels`);
      more.textContent = rest.join("; ");
    },
    result: (message, buffers) => {
      if (shown.has(message.id)) forget(message.id);
      const one = makeCard(message, buffers, send, showStatus);
      shown.set(message.id, one);
      cards.prepend(one.node);
      if (shown.size > 100) forget(shown.keys().next().value); // as many as Python has thumbnails of
    },
    tags: (message) => shown.get(message.id)?.mark(message.tags),
    large: (message, buffers) => {
      showPicture(large.image, buffers);
      large.image.alt = shown.get(message.id)?.image.alt ?? "";
      if (!large.dialog.open) large.dialog.showModal();
    },
  };
  const onMessage = (message, buffers) => handlers[message.kind]?.(message, buffers ?? []);
  model.on("msg:custom", onMessage);

  /** Ctrl-Enter draws; other keys with Ctrl are the notebook's, and Enter alone is Enter. */
  const onKeyDown = (event) => {
    if (!root().contains(event.target)) return;
    const command = event.ctrlKey || event.metaKey;
    root().toggleAttribute("data-lm-suppress-shortcuts", !command);
    if (!command || event.key !== "Enter") return;
    event.preventDefault();
    event.stopImmediatePropagation();
    draw();
  };

  // The controls are other widgets: they stand around this one as soon as the panel is on the page.
  const start = () => {
    if (controller.signal.aborted) return;
    if (!el.isConnected) return requestAnimationFrame(start);
    // Before JupyterLab, which listens on the document and would run cells and delete them.
    window.addEventListener("keydown", onKeyDown, { signal: controller.signal, capture: true });
    root().addEventListener("input", typed.note, { signal: controller.signal });
    root().addEventListener("click", typed.noteClick, { signal: controller.signal });
    send("hello");
  };
  start();
  return () => {
    controller.abort();
    clearTimeout(now.late);
    model.off("msg:custom", onMessage);
    [...shown.keys()].forEach(forget);
    for (const image of [now.preview, large.image]) if (image.src) URL.revokeObjectURL(image.src);
  };
}

export default { render };
