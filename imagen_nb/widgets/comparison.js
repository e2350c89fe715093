// Two pictures in one place: a slider between them, side by side, or blinking; and what differs.

import { address, button, element, isolated, visible } from "./dom.js";

const MODES = [["slider", "Slider"], ["side", "Side by side"], ["blink", "Blink"]];
const STEP = 2; // per cent of the width
const BLINK = 700; // milliseconds

/** Shows the pair in `root`, and gives what a key does there: true when it was one of ours. */
export const comparison = (root, pair, buffers, signal) => {
  const stage = stageOf(pair, buffers, signal);
  const slider = sliderOf(stage, signal);
  const modes = modesOf((mode) => show(stage, slider, modes, mode), signal);
  root.classList.add("imagen-comparison");
  const left = element("div", { className: "imagen-shown" }, modes, stage, slider);
  root.replaceChildren(left, differing(pair.rows));
  show(stage, slider, modes, "slider");
  const timer = setInterval(() => stage.classList.toggle("imagen-second"), BLINK);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  return (event) => pressed(event, modes, slider);
};

const stageOf = (pair, buffers, signal) => {
  const figures = buffers.slice(0, 2).map((buffer, place) => {
    const image = element("img", { alt: visible(pair.prompts[place]), draggable: false });
    image.addEventListener("load", () => widen(image), { signal });
    image.src = address(buffer, signal);
    return element("figure", {}, image, element("figcaption", {}, "AB"[place]));
  });
  return element("div", { className: "imagen-stage" }, ...figures, element("i", { className: "imagen-line" }));
};

/** The stage is as wide as the widest of its pictures. */
const widen = (image) => {
  const { style } = image.closest(".imagen-shown");
  const ratio = image.naturalWidth / image.naturalHeight;
  style.setProperty("--ratio", Math.max(ratio, Number(style.getPropertyValue("--ratio"))));
};

const sliderOf = (stage, signal) => {
  const slider = element("input", { type: "range", min: 0, max: 100, value: 50, step: STEP, "aria-label": "Where A ends and B begins" });
  const move = () => stage.style.setProperty("--at", `${slider.value}%`);
  slider.addEventListener("input", move, { signal });
  const drag = (event) => {
    if (stage.dataset.mode !== "slider" || !(event.buttons & 1)) return;
    const box = stage.getBoundingClientRect();
    slider.value = ((event.clientX - box.left) / box.width) * 100;
    move();
  };
  for (const name of ["pointerdown", "pointermove"]) stage.addEventListener(name, drag, { signal });
  move();
  return slider;
};

const modesOf = (choose, signal) => {
  const buttons = MODES.map(([mode, name], place) => {
    const made = button(name, `${name} (${place + 1})`, () => choose(mode), signal);
    made.dataset.mode = mode;
    return made;
  });
  return element("div", { className: "imagen-modes", role: "group", "aria-label": "How to compare" }, ...buttons);
};

const show = (stage, slider, modes, mode) => {
  stage.dataset.mode = mode;
  slider.hidden = mode !== "slider";
  for (const one of modes.children) one.setAttribute("aria-pressed", one.dataset.mode === mode);
};

const differing = (rows) => {
  if (!rows.length) return element("p", {}, "Nothing that is recorded differs.");
  const head = ["", "A", "B"].map((name) => element("th", { scope: "col" }, name));
  const body = rows.map(([name, ...values]) => element(
    "tr", {}, element("th", { scope: "row" }, isolated(name)),
    ...values.map((value) => element("td", {}, isolated(value))),
  ));
  return element("table", { "aria-label": "What differs" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
};

const pressed = (event, modes, slider) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const step = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
  const mode = modes.children["123".indexOf(event.key)];
  if (mode) mode.click();
  else if (step && !slider.hidden && event.target !== slider) {
    slider.value = Number(slider.value) + step;
    slider.dispatchEvent(new Event("input"));
  } else return false;
  event.preventDefault();
  return true;
};
