// The form of a Panel: what matters first, the rest folded; what the model does not take is off, and says why.

import { element } from "./dom.js";
import { freshId, makeField, showProblems } from "./fields.js";
import { iconButton } from "./icons.js";
import { makeImages } from "./images.js";
import { makeLoras } from "./loras.js";
import { makePresets } from "./presets.js";

const RANGE = { min: 0.05, max: 1, step: 0.05 };

/** `send(what, more, buffers)` asks the kernel; `failed(text)` says what cannot be done. */
export const makeForm = (model, send, failed, signal) => {
  const fields = new Map();
  const field = (kind, name, label, more) => {
    const made = makeField(model, kind, name, label, signal, more);
    fields.set(name, made);
    return made;
  };
  const prompt = field("area", "prompt", "Prompt", { rows: 4,
    placeholder: "what to draw, {red|blue} draws both; Ctrl-Enter draws" });
  const perLine = field("check", "one_per_line", "One prompt a line", { title: "each line is a prompt of its own" });
  const backend = field("choice", "backend", "Backend");
  const width = field("whole", "width", "Width", { title: "pixels" });
  const height = field("whole", "height", "Height", { title: "pixels" });
  const steps = field("whole", "steps", "Steps", { min: 1, title: "denoising steps" });
  const guidance = field("number", "guidance", "Guidance", { min: 0, title: "guidance scale" });
  const seed = field("whole", "seed", "Seed", { min: 0, title: "the same seed draws the same picture" });
  const lock = field("check", "lock_seed", "Lock seed", { title: "draw with this seed again, instead of a new one" });
  const count = field("whole", "count", "Count", { min: 1, max: 100, title: "pictures, with this seed and the next ones" });
  const tags = field("text", "tags", "Tags", { placeholder: "comma-separated" });
  const cloud = field("check", "cloud", "Copy to the cloud");
  const negative = field("area", "negative_prompt", "Negative prompt", { rows: 2, placeholder: "what to lead away from" });
  const trueCfg = field("optional", "true_cfg", "True CFG", { min: 1, max: 30, step: 0.5, placeholder: "auto",
    title: "scale of classifier-free guidance; 1 is off" });
  const strength = field("range", "strength", "Strength", { ...RANGE, title: "how much of the init image is drawn anew" });
  const scheduler = field("choice", "scheduler", "Scheduler");

  const size = element("select", { id: freshId("size") });
  const sizeNode = element("div", { className: "imagen-panel-field" },
    element("label", { htmlFor: size.id }, "Size"), size);
  const swap = iconButton("swap", "Swap width and height", () => set({ width: height.value(), height: width.value() }), signal);
  const dice = iconButton("dice", "New seed", () => {
    const locked = lock.value();
    set({ seed: Math.max(1, crypto.getRandomValues(new Uint32Array(1))[0]), lock_seed: locked });
  }, signal);
  const strengthShown = element("output", { htmlFor: strength.input.id });
  strength.beside.append(strengthShown);
  const memory = element("small", { className: "imagen-panel-memory" });
  const insert = (words) => {
    const text = prompt.input.value;
    if (!text.includes(words)) set({ prompt: text.trim() ? `${text.trimEnd()}, ${words}` : words });
  };
  const loras = makeLoras(model, insert, signal);
  const images = makeImages((name, buffer) => send("image", { name }, buffer ? [buffer] : []),
    (id) => send("start-from", { id }), failed, signal);
  const values = () => {
    const said = Object.fromEntries([...fields.values()].map((each) => [each.name, each.value()]));
    return { ...said, loras: loras.value() };
  };
  const presets = makePresets(send, values, signal);
  let known = [];

  /** Set several at once, as if they had been typed. */
  const set = (several) => {
    for (const [name, value] of Object.entries(several)) model.set(name, value);
    model.save_changes();
    for (const name of Object.keys(several)) fields.get(name)?.show();
  };
  let elsewhere = [];
  const chosen = () => [...known, ...elsewhere].find((each) => each.name === backend.value());
  /** What draws here, then what other machines draw with; the chosen one stays, wherever it is. */
  const listBackends = () => {
    const listed = [...known, ...elsewhere];
    backend.input.replaceChildren(...listed.map(({ name, where }) =>
      element("option", { value: name }, where ? `${name} (${where})` : name)));
    backend.show();
  };
  const showSize = () => {
    const now = `${width.value()}x${height.value()}`;
    size.value = [...size.options].some((one) => one.value === now) ? now : "";
  };
  const showStrength = () => (strengthShown.textContent = strength.input.valueAsNumber.toFixed(2));
  const showBackend = () => {
    const one = chosen();
    if (!one) return;
    size.replaceChildren(...one.sizes.map(([w, h, label]) => element("option", { value: `${w}x${h}` }, label)),
      element("option", { value: "" }, "custom"));
    showSize();
    for (const each of [width, height]) each.input.step = one.multiple;
    scheduler.input.replaceChildren(element("option", { value: "" }, "the model's own"),
      ...one.schedulers.map((name) => element("option", { value: name }, name)));
    scheduler.show();
    showTaken(one);
  };
  /** Switch on what the model takes, and what it needs is there for. */
  const showTaken = (one) => {
    const lacks = (name) => {
      if (!one.takes.includes(name)) return one.refuses[name];
      const lacking = one.requires[name]?.find((each) => !images.has(each));
      return lacking ? `needs ${lacking === "mask" ? "a mask" : "an init image"}` : "";
    };
    for (const each of [negative, trueCfg, strength, scheduler]) each.refuse(lacks(each.name));
    loras.refuse(lacks("loras"));
    images.refuse(lacks("init_image"), lacks("mask"));
  };
  backend.input.addEventListener("change", () => {
    const one = chosen();
    if (one) set({ ...one.defaults, strength: one.strength });
    showBackend();
  }, { signal });
  size.addEventListener("change", () => {
    const [w, h] = size.value.split("x").map(Number);
    if (h) set({ width: w, height: h });
  }, { signal });
  seed.input.addEventListener("change", () => set({ seed: seed.value(), lock_seed: true }), { signal });
  for (const each of [width, height]) {
    each.node.addEventListener("shown", showSize, { signal });
    each.input.addEventListener("input", showSize, { signal });
  }
  backend.node.addEventListener("shown", showBackend, { signal });
  strength.node.addEventListener("shown", showStrength, { signal });
  strength.input.addEventListener("input", showStrength, { signal });
  showStrength();

  seed.beside.append(lock.node, dice);
  const row = (...nodes) => element("div", { className: "imagen-panel-row" }, ...nodes);
  const from = element("details", { className: "imagen-panel-more" }, element("summary", {}, "Draw from an image"),
    images.node, strength.node);
  const rest = element("details", { className: "imagen-panel-more" }, element("summary", {}, "More settings"),
    negative.node, row(trueCfg.node, scheduler.node), loras.node, tags.node, cloud.node, presets.node, memory);
  const missing = element("details", { className: "imagen-panel-more", hidden: true });
  const first = element("div", { className: "imagen-panel-fields" }, prompt.node, perLine.node);
  const second = element("div", { className: "imagen-panel-fields" }, backend.node,
    row(sizeNode, width.node, swap, height.node), row(steps.node, guidance.node, count.node), seed.node, from, rest, missing);
  return {
    first, second, images, loras, presets, values, set, prompt,
    /** What is in the form now is told with the request: nothing of it follows later. */
    settle() {
      for (const each of fields.values()) each.settle();
    },
    hello(message) {
      known = message.backends;
      listBackends();
      showBackend();
      missing.hidden = !message.missing.length;
      missing.replaceChildren(element("summary", {}, "Backends that cannot draw here"),
        ...message.missing.map((one) => element("div", {}, element("b", {}, one.name), `: ${one.why}`)));
      for (const old of second.querySelectorAll(".imagen-panel-note")) old.remove();
      for (const [name, text] of Object.entries(message.notes)) {
        fields.get(name)?.node.append(element("small", { className: "imagen-panel-note" }, text));
      }
      if (message.notes.cloud) cloud.input.disabled = true;
    },
    boxes(message) {
      const one = chosen();
      elsewhere = message.backends;
      // A machine that is not heard of any more may come back: its jobs wait.
      if (one?.where && !chosen()) elsewhere = [...elsewhere, { ...one, where: "not seen lately" }];
      // An open list is not taken from under the pointer.
      if (document.activeElement !== backend.input) listBackends();
    },
    image(message, buffers) {
      images.receive(message, buffers);
      if (message.name === "init_image" && message.width) from.open = true;
      const one = chosen();
      if (one) showTaken(one);
    },
    memory: (message) => (memory.textContent = message.text),
    problems: (root, problems) => showProblems(root, problems),
  };
};
