// Two to nine pictures in one place: a slider, side by side, blinking, their difference; and what differs.

import { button, element, isolatedText, objectUrl, visibleText } from "./dom.js";
import { makeZoom } from "./zoom.js";

const MODES = [["slider", "Slider"], ["side", "Side by side"], ["blink", "Blink"], ["difference", "Difference"]];
const MODES_OF_MANY = ["side", "blink"];
const SLIDER_STEP_PERCENT = 2; // of the width
const BLINK_MS = 700;

/** Show the pictures in `root`; returns what handles keys there, true for one that it knows. */
export const showComparison = (root, message, buffers, signal) => {
  const figures = buffers.map((buffer, place) => makeFigure(buffer, message.prompts[place], "ABCDEFGHI"[place], signal));
  const known = MODES.filter(([mode]) => figures.length === 2 || MODES_OF_MANY.includes(mode));
  const note = element("span", { role: "status" });
  const stage = element("div", { className: "imagen-stage" }, ...figures.map((figure) => figure.root), element("i", { className: "imagen-divide" }));
  stage.style.setProperty("--across", Math.min(figures.length, figures.length > 4 ? 3 : 2));
  const choose = (mode) => setMode(stage, slider, modes, mode, () => difference.show(figures, stage, zooming, note, signal));
  const modes = element("div", { className: "imagen-modes", role: "group", "aria-label": "How to compare" }, ...known.map(([mode, name], place) => {
    const made = button(name, `${name} (${place + 1})`, () => choose(mode), signal);
    made.dataset.mode = mode;
    return made;
  }));
  const difference = makeDifference();
  root.classList.add("imagen-comparison");
  const tools = element("div", { className: "imagen-modes" },
    button("Fit", "Fit all (0)", () => zooming.fit(), signal), button("1:1", "One pixel for each of the pictures'", () => zooming.actual(), signal), note);
  const slider = makeSlider(stage, () => zooming.isFitted(), signal);
  root.replaceChildren(element("div", { className: "imagen-shown" }, element("div", { className: "imagen-tools" }, modes, tools), stage, slider), differenceTable(message.rows, figures.length));
  const zooming = makeZooms(root, signal);
  figures.forEach((figure) => { zooming.add(figure.root, figure.image); });
  choose(known[0][0]);
  blink(stage, figures.length, signal);
  return (event) => onKeyDown(event, modes, slider);
};

const makeFigure = (buffer, prompt, letter, signal) => {
  const image = element("img", { alt: visibleText(prompt), draggable: false });
  image.addEventListener("load", () => widen(image), { signal });
  image.src = objectUrl(buffer, signal);
  return { image, root: element("figure", {}, image, element("figcaption", {}, letter)) };
};

/** The stage is as wide as the widest of its pictures. */
const widen = (image) => {
  const { style } = image.closest(".imagen-shown");
  const ratio = image.naturalWidth / image.naturalHeight;
  style.setProperty("--ratio", Math.max(ratio, Number(style.getPropertyValue("--ratio"))));
};

/** Zooms any number of pictures alike. The wheel is theirs while the comparison has the focus. */
const makeZooms = (root, signal) => {
  const all = [];
  let isFollowing = false;
  const visible = () => all.find(({ stage }) => stage.clientWidth) ?? all[0];
  const follow = (one) => {
    if (isFollowing || !one.stage.clientWidth) return;
    isFollowing = true;
    const { scale, x, y } = one.zoom.place();
    for (const other of all) {
      if (other === one || !other.stage.clientWidth) continue;
      if (one.zoom.isFitted()) other.zoom.fit();
      else other.zoom.setPlace({ scale: (scale * one.image.naturalWidth) / (other.image.naturalWidth || 1), x, y });
    }
    isFollowing = false;
  };
  const isWheelOurs = (ours) => {
    for (const { stage } of all) stage.dataset.wheel = ours ? "" : "focused";
  };
  root.addEventListener("focusin", () => isWheelOurs(true), { signal });
  root.addEventListener("focusout", () => isWheelOurs(Boolean(root.closest("dialog"))), { signal });
  return {
    add: (stage, image) => {
      const one = { stage, image };
      stage.dataset.wheel = root.closest("dialog") || root.contains(document.activeElement) ? "" : "focused";
      one.zoom = makeZoom(stage, image, signal);
      all.push(one);
      stage.addEventListener("zoom", () => follow(one), { signal });
    },
    fit: () => visible().zoom.fit(),
    actual: () => visible().zoom.actual(),
    isFitted: () => visible().zoom.isFitted(),
    align: () => follow(visible()),
  };
};

const makeSlider = (stage, isFitted, signal) => {
  const slider = element("input", { type: "range", min: 0, max: 100, value: 50, step: SLIDER_STEP_PERCENT, "aria-label": "Where A ends and B begins" });
  const move = () => stage.style.setProperty("--at", `${slider.value}%`);
  slider.addEventListener("input", move, { signal });
  const drag = (event) => {
    if (stage.dataset.mode !== "slider" || !(event.buttons & 1) || !isFitted()) return;
    const box = stage.getBoundingClientRect();
    slider.value = ((event.clientX - box.left) / box.width) * 100;
    move();
  };
  for (const name of ["pointerdown", "pointermove"]) stage.addEventListener(name, drag, { signal });
  move();
  return slider;
};

const setMode = (stage, slider, modes, mode, showDifference) => {
  stage.dataset.mode = mode;
  slider.hidden = mode !== "slider";
  for (const one of modes.children) one.setAttribute("aria-pressed", one.dataset.mode === mode);
  if (mode === "difference") showDifference();
};

const blink = (stage, count, signal) => {
  const figures = [...stage.querySelectorAll("figure")].slice(0, count);
  let place = 0;
  const turn = () => {
    place = (place + 1) % count;
    for (const [number, figure] of figures.entries()) figure.classList.toggle("imagen-now", number === place);
  };
  turn();
  const timer = setInterval(turn, BLINK_MS);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
};

/** A picture of where two differ: black where they do not, white where they do most. */
const makeDifference = () => {
  let isMade = false;
  return {
    show: async (figures, stage, zooming, note, signal) => {
      if (isMade) return;
      isMade = true;
      const images = figures.map((figure) => figure.image);
      await Promise.all(images.map((image) => image.decode()));
      const { canvas, most, part } = differenceOf(...images);
      const blob = await new Promise((done) => { canvas.toBlob(done); });
      const text = most ? `the largest difference is ${most} of 255, ${(part * 100).toFixed(1)} % of the pixels differ` : "no pixel differs";
      const figure = makeFigure(await blob.arrayBuffer(), `difference: ${text}`, "|A − B|", signal);
      figure.root.classList.add("imagen-difference");
      stage.append(figure.root);
      zooming.add(figure.root, figure.image);
      figure.image.addEventListener("load", zooming.align, { signal });
      note.textContent = text;
    },
  };
};

const differenceOf = (one, other) => {
  const canvas = element("canvas", { width: one.naturalWidth, height: one.naturalHeight });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const pixelsOf = (image) => {
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    return pen.getImageData(0, 0, canvas.width, canvas.height);
  };
  const result = pixelsOf(one);
  const { data } = pixelsOf(other);
  let most = 0;
  let differing = 0;
  for (let at = 0; at < data.length; at += 4) {
    const value = Math.max(Math.abs(result.data[at] - data[at]), Math.abs(result.data[at + 1] - data[at + 1]), Math.abs(result.data[at + 2] - data[at + 2]));
    result.data[at] = value;
    most = Math.max(most, value);
    differing += value > 0;
  }
  for (let at = 0; at < data.length; at += 4) {
    const grey = most ? (result.data[at] * 255) / most : 0;
    result.data[at] = result.data[at + 1] = result.data[at + 2] = grey;
    result.data[at + 3] = 255;
  }
  pen.putImageData(result, 0, 0);
  return { canvas, most, part: differing / (data.length / 4) };
};

const differenceTable = (rows, count) => {
  if (!rows.length) return element("p", {}, "Nothing that is recorded differs.");
  const head = ["", ..."ABCDEFGHI".slice(0, count)].map((name) => element("th", { scope: "col" }, name));
  const body = rows.map(([name, ...values]) => element(
    "tr", {}, element("th", { scope: "row" }, isolatedText(name)),
    ...values.map((value) => element("td", {}, isolatedText(value))),
  ));
  return element("div", { className: "imagen-differing" }, element("table", { "aria-label": "What differs" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body)));
};

const onKeyDown = (event, modes, slider) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const step = { ArrowLeft: -SLIDER_STEP_PERCENT, ArrowRight: SLIDER_STEP_PERCENT }[event.key];
  const mode = modes.children["1234".indexOf(event.key)];
  if (mode) mode.click();
  else if (step && !slider.hidden && event.target !== slider) {
    slider.value = Number(slider.value) + step;
    slider.dispatchEvent(new Event("input"));
  } else return false;
  event.preventDefault();
  return true;
};
