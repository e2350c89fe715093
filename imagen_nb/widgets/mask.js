// A mask drawn with a brush over an image: white is painted anew.

import { element } from "./dom.js";
import { iconButton } from "./icons.js";

const LONGEST = 1024; // pixels of the canvas on which strokes are drawn
const TINT = "rgb(229 57 53)";
const STEP = 12; // pixels of the canvas that an arrow key moves the brush

/**
 * An editor over `image`, of which the mask has the size (width × height pixels).
 *
 * `before`: the image of a mask to go on with, or null. `done(file)`: called with the PNG, or with null where
 * nothing is painted; `leave()`: when it is left as it was.
 */
export const makeMaskEditor = (image, { width, height }, before, done, leave, signal) => {
  const scale = Math.min(1, LONGEST / Math.max(width, height));
  const size = { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
  const canvas = element("canvas", { ...size, tabIndex: 0, className: "imagen-panel-mask" });
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", "Mask: arrows move the brush, Space paints, [ and ] change its size");
  const layer = element("canvas", size); // white on transparent
  const range = (name, min, max, value) =>
    element("input", { type: "range", min, max, value, step: 1, "aria-label": name, title: name });
  const brush = range("brush size", 2, 200, Math.round(Math.max(size.width, size.height) / 10));
  const feather = range("feather", 0, 60, 0);
  const strokes = [];
  let erasing = false;
  let current = null;
  const cursor = { x: size.width / 2, y: size.height / 2, shown: false };

  const paint = (pen, stroke) => {
    pen.globalCompositeOperation = stroke.erase ? "destination-out" : "source-over";
    pen.strokeStyle = pen.fillStyle = "#fff";
    pen.lineWidth = stroke.size;
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath();
    const [[x, y], ...rest] = stroke.points;
    pen.moveTo(x, y);
    for (const point of rest.length ? rest : [[x + 0.01, y]]) pen.lineTo(...point);
    pen.stroke();
  };
  const redraw = () => {
    const pen = layer.getContext("2d");
    pen.globalCompositeOperation = "source-over";
    pen.clearRect(0, 0, size.width, size.height);
    if (before && !strokes.some((stroke) => stroke.clears)) {
      // A mask is white on black: what is dark in it becomes transparent.
      pen.drawImage(before, 0, 0, size.width, size.height);
      const pixels = pen.getImageData(0, 0, size.width, size.height);
      for (let at = 0; at < pixels.data.length; at += 4) {
        pixels.data[at + 3] = pixels.data[at];
        pixels.data.fill(255, at, at + 3);
      }
      pen.putImageData(pixels, 0, 0);
    }
    const from = strokes.findLastIndex((stroke) => stroke.clears) + 1;
    for (const stroke of strokes.slice(from)) paint(pen, stroke);
    show();
  };
  const show = () => {
    const pen = canvas.getContext("2d");
    pen.globalCompositeOperation = "source-over";
    pen.clearRect(0, 0, size.width, size.height);
    pen.filter = blur(1);
    pen.drawImage(layer, 0, 0);
    pen.filter = "none";
    pen.globalCompositeOperation = "source-in";
    pen.fillStyle = TINT;
    pen.fillRect(0, 0, size.width, size.height);
    if (!cursor.shown) return;
    pen.globalCompositeOperation = "source-over";
    pen.strokeStyle = TINT;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(cursor.x, cursor.y, brush.valueAsNumber / 2, 0, 7);
    pen.stroke();
  };
  const blur = (factor) => (feather.valueAsNumber ? `blur(${feather.valueAsNumber * factor}px)` : "none");
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * size.width,
      ((event.clientY - box.top) / box.height) * size.height];
  };
  const begin = (points, erase) => {
    current = { points, erase, size: brush.valueAsNumber };
    strokes.push(current);
    redraw();
  };
  canvas.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    canvas.focus();
    canvas.setPointerCapture(event.pointerId);
    begin([at(event)], erasing || event.button === 2);
  }, { signal });
  canvas.addEventListener("pointermove", (event) => {
    [cursor.x, cursor.y] = at(event);
    cursor.shown = true;
    if (!current) return show();
    current.points.push(at(event));
    redraw();
  }, { signal });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, () => (current = null), { signal });
  }
  canvas.addEventListener("pointerleave", () => {
    cursor.shown = false;
    show();
  }, { signal });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault(), { signal });

  const undo = () => {
    strokes.pop();
    redraw();
  };
  const clear = () => {
    strokes.push({ clears: true, points: [] });
    redraw();
  };
  const grow = (by) => {
    brush.valueAsNumber += by;
    show();
  };
  const move = (x, y) => {
    cursor.x = Math.min(size.width, Math.max(0, cursor.x + x * STEP));
    cursor.y = Math.min(size.height, Math.max(0, cursor.y + y * STEP));
    cursor.shown = true;
    show();
  };
  const keys = {
    " ": () => {
      begin([[cursor.x, cursor.y]], erasing);
      current = null;
    },
    "[": () => grow(-6), "]": () => grow(6), e: () => erase.click(), Delete: clear, Enter: () => finish(), Escape: leave,
    ArrowLeft: () => move(-1, 0), ArrowRight: () => move(1, 0), ArrowUp: () => move(0, -1), ArrowDown: () => move(0, 1),
  };
  canvas.addEventListener("keydown", (event) => {
    const isUndo = (event.ctrlKey || event.metaKey) && event.key === "z";
    if (!isUndo && (event.ctrlKey || event.metaKey || !(event.key in keys))) return;
    event.preventDefault();
    event.stopPropagation();
    if (isUndo) undo();
    else keys[event.key]();
  }, { signal });
  for (const slider of [brush, feather]) slider.addEventListener("input", show, { signal });

  /** The mask at the image's own size, as a PNG. */
  const finish = () => {
    const whole = element("canvas", { width, height });
    const pen = whole.getContext("2d");
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, width, height);
    pen.filter = blur(1 / scale);
    pen.drawImage(layer, 0, 0, width, height);
    const painted = layer.getContext("2d").getImageData(0, 0, size.width, size.height).data;
    if (!painted.some((value, place) => place % 4 === 3 && value)) return done(null);
    whole.toBlob(async (file) => done(await file.arrayBuffer()), "image/png");
  };
  const erase = iconButton("erase", "erase (e, or the right button)", () => {
    erasing = !erasing;
    erase.setAttribute("aria-pressed", String(erasing));
  }, signal);
  erase.setAttribute("aria-pressed", "false");
  const use = element("button", { type: "button", title: "use this mask (Enter)" }, "Use mask");
  use.addEventListener("click", finish, { signal });
  const stop = element("button", { type: "button", title: "leave it as it was (Escape)" }, "Leave");
  stop.addEventListener("click", leave, { signal });
  const tools = element("div", { className: "imagen-panel-tools" },
    element("label", {}, "brush ", brush), element("label", {}, "feather ", feather), erase,
    iconButton("undo", "undo (Ctrl-Z)", undo, signal), iconButton("bin", "clear (Delete)", clear, signal), use, stop);
  const node = element("div", { className: "imagen-panel-masking" },
    element("div", { className: "imagen-panel-under" }, image, canvas), tools);
  redraw();
  return { node, canvas };
};
