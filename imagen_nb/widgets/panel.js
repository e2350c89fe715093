// A Panel: the form, what is drawn now, and what was drawn. Python answers what is asked here by messages.
// All text that comes from outside goes through textContent or attributes: never through HTML.

import { element } from "./dom.js";
import { iconButton } from "./icons.js";
import { makeForm } from "./panelform.js";
import { makeKeys } from "./keys.js";
import { makeLive } from "./live.js";
import { makeQueue } from "./queue.js";
import { makeStrip } from "./strip.js";
import { makeViewer } from "./viewer.js";
import { connect } from "./wire.js";

const BOXES_MS = 15_000;
const LIVE_CLASS = "imagen-live"; // see saved_page.py

function makeBar(draw, send, cancel) {
  const go = element("button", { type: "button", className: "imagen-panel-go", title: "draw this (Ctrl-Enter)" }, "Draw");
  const how = element("small", { className: "imagen-panel-how" });
  const stop = element("button", { type: "button", disabled: true, title: "stop what is being drawn (Ctrl-Shift-X)" },
    "Cancel");
  const resume = element("button", { type: "button", hidden: true, title: "draw what waits from before" });
  go.addEventListener("click", draw);
  stop.addEventListener("click", cancel);
  resume.addEventListener("click", () => send("resume"));
  const node = element("div", { className: "imagen-panel-tools" }, go, stop, resume, how);
  return { node, go, how, stop, resume };
}

function render({ model, el }) {
  const controller = new AbortController();
  const { signal } = controller;
  const failed = element("div", { className: "imagen-panel-failed", role: "alert", hidden: true });
  const status = element("div", { className: "imagen-panel-said", role: "status" }); // read out politely
  const said = (text) => (status.textContent = text);
  const fail = (text) => {
    failed.hidden = !text;
    failed.textContent = text;
  };
  const send = (what, more = {}, buffers = []) => {
    if (what !== "whole") fail(""); // that was of what was asked before
    tell({ do: what, ...more }, buffers);
  };
  let following = true; // the newest picture becomes the current one
  const draw = () => {
    following = true;
    form.settle();
    send("draw", { form: form.values() });
  };
  const cancel = () => {
    if (bar.stop.disabled) return;
    bar.stop.disabled = true;
    live.cancelling();
    said("cancelling …");
    send("cancel");
  };
  const form = makeForm(model, send, fail, signal);
  const bar = makeBar(draw, send, cancel);
  const queue = makeQueue(send, signal);
  const viewer = makeViewer(send, said, signal);
  const live = makeLive((drawing) => viewer.growing(following ? drawing : null), signal);
  const strip = makeStrip((one, url) => viewer.show(one, url), send, signal);
  const choose = (id) => {
    following = id === strip.newest();
    if (!following) viewer.growing(null);
  };
  strip.node.addEventListener("click", () => choose(viewer.current()?.id), { signal });

  const left = element("div", { className: "imagen-panel-left" }, form.first, bar.node, failed, form.second);
  const right = element("div", { className: "imagen-panel-right" }, live.node, viewer.node, strip.node, queue.node);
  el.classList.add("imagen-panel");
  const stepBy = (by) => {
    strip.step(by);
    choose(viewer.current()?.id);
  };
  const recall = (part) => () => viewer.ask("recall", { part });
  const keys = makeKeys(el, {
    leave: () => viewer.stage.focus(),
    rate: (stars) => viewer.rate(stars),
    keys: {
      "/": () => form.prompt.input.focus(),
      a: recall("all"), p: recall("prompt"), s: recall("seed"), z: recall("size"),
      i: () => viewer.ask("start-from"), r: () => viewer.ask("reproduce"),
      v: () => viewer.press("vary"), k: () => viewer.press("keeper"), x: () => viewer.press("reject"),
      b: () => viewer.press("compare"),
    },
  }, draw, cancel, signal);
  viewer.stage.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by && viewer.zoom.isFitted()) stepBy(by);
  }, { signal });
  const foot = element("div", { className: "imagen-panel-foot" }, status,
    iconButton("keys", "Keys (?)", keys.open, signal));
  el.append(element("div", { className: "imagen-panel-columns" }, left, right), foot, keys.card);
  form.images.listen(el);

  const handlers = {
    hello(message) {
      el.classList.add(LIVE_CLASS);
      form.hello(message);
    },
    checks(message) {
      form.problems(el, message.problems);
      bar.go.textContent = message.pictures > 1 ? `Draw ${message.pictures} pictures` : "Draw";
      bar.how.textContent = message.how;
    },
    said: (message) => said(message.text),
    failed(message) {
      // What is said beside a control already is pointed at, not said twice.
      const beside = [...el.querySelectorAll(".imagen-panel-problem")].find((line) => line.textContent === message.text);
      if (!beside) return fail(message.text);
      beside.scrollIntoView({ block: "nearest" });
      beside.animate([{ opacity: 0 }, { opacity: 1 }], { duration: 300, iterations: 2 });
    },
    boxes: form.boxes,
    step: live.step,
    queue(message) {
      const current = message.items.find((item) => item.drawing);
      bar.stop.disabled = !current;
      bar.resume.hidden = !message.resumable;
      bar.resume.textContent = `Resume ${message.resumable}`;
      live.receive(current);
      queue.receive(message);
    },
    result(message, buffers) {
      strip.receive(message, buffers);
      if (following || viewer.current()?.id === message.id) strip.pick(message.id);
    },
    whole: viewer.whole,
    before: viewer.before,
    tags(message) {
      strip.tags(message.id, message.tags);
      viewer.tags(message.id, message.tags);
    },
    image: form.image,
    loras: form.loras.receive,
    presets: form.presets.receive,
    memory: form.memory,
  };
  const tell = connect(model, (message, buffers) => handlers[message.kind]?.(message, buffers), signal);
  send("hello");
  // Who else draws, and when they were seen: only while somebody may look.
  const ask = () => {
    try {
      if (!document.hidden) tell({ do: "boxes" });
    } catch {
      clearInterval(asking); // the kernel was ended: this panel hears nothing any more
    }
  };
  const asking = setInterval(ask, BOXES_MS);
  return () => {
    clearInterval(asking);
    controller.abort();
    strip.release();
    form.images.release();
  };
}

export default { render };
