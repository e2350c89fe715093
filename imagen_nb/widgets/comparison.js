// Two pictures in one place: a slider between them, side by side, or blinking; and what differs.

import { button, element, isolatedText, objectUrl, visibleText } from "./dom.js";

const MODES = [["slider", "Slider"], ["side", "Side by side"], ["blink", "Blink"]];
const SLIDER_STEP_PERCENT = 2; // of the width
const BLINK_MS = 700;

/** Show the pair in `root`; returns what handles keys there, true for one that it knows. */
export const showComparison = (root, pair, buffers, signal) => {
  const stage = makeStage(pair, buffers, signal);
  const slider = makeSlider(stage, signal);
  const modes = makeModeButtons((mode) => setMode(stage, slider, modes, mode), signal);
  root.classList.add("imagen-comparison");
  const left = element("div", { className: "imagen-shown" }, modes, stage, slider);
  root.replaceChildren(left, differenceTable(pair.rows));
  setMode(stage, slider, modes, "slider");
  const timer = setInterval(() => stage.classList.toggle("imagen-second"), BLINK_MS);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  return (event) => onKeyDown(event, modes, slider);
};

const makeStage = (pair, buffers, signal) => {
  const figures = buffers.slice(0, 2).map((buffer, place) => {
    const image = element("img", { alt: visibleText(pair.prompts[place]), draggable: false });
    image.addEventListener("load", () => widen(image), { signal });
    image.src = objectUrl(buffer, signal);
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

const makeSlider = (stage, signal) => {
  const slider = element("input", { type: "range", min: 0, max: 100, value: 50, step: SLIDER_STEP_PERCENT, "aria-label": "Where A ends and B begins" });
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

const makeModeButtons = (choose, signal) => {
  const buttons = MODES.map(([mode, name], place) => {
    const made = button(name, `${name} (${place + 1})`, () => choose(mode), signal);
    made.dataset.mode = mode;
    return made;
  });
  return element("div", { className: "imagen-modes", role: "group", "aria-label": "How to compare" }, ...buttons);
};

const setMode = (stage, slider, modes, mode) => {
  stage.dataset.mode = mode;
  slider.hidden = mode !== "slider";
  for (const one of modes.children) one.setAttribute("aria-pressed", one.dataset.mode === mode);
};

const differenceTable = (rows) => {
  if (!rows.length) return element("p", {}, "Nothing that is recorded differs.");
  const head = ["", "A", "B"].map((name) => element("th", { scope: "col" }, name));
  const body = rows.map(([name, ...values]) => element(
    "tr", {}, element("th", { scope: "row" }, isolatedText(name)),
    ...values.map((value) => element("td", {}, isolatedText(value))),
  ));
  return element("table", { "aria-label": "What differs" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
};

const onKeyDown = (event, modes, slider) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const step = { ArrowLeft: -SLIDER_STEP_PERCENT, ArrowRight: SLIDER_STEP_PERCENT }[event.key];
  const mode = modes.children["123".indexOf(event.key)];
  if (mode) mode.click();
  else if (step && !slider.hidden && event.target !== slider) {
    slider.value = Number(slider.value) + step;
    slider.dispatchEvent(new Event("input"));
  } else return false;
  event.preventDefault();
  return true;
};
