// A picture on a stage: zoomed by the wheel, moved by the mouse, fitted or at one to one.

const WHEEL_RATE = 0.0015; // of the scale, for each pixel that a wheel turns
const LARGEST = 16; // pixels of the screen for one of the picture
const KEY_STEP = 48; // pixels that an arrow moves a zoomed picture

/**
 * Let people zoom and move `image` within `stage` until the signal aborts.
 *
 * The wheel zooms at the pointer, dragging moves what is larger than the stage, a double click or the key 1
 * changes between fitted and one to one, 0 fits, + and - zoom, arrows move. Keys are heard while the stage
 * or something in it has the focus. On a stage with `data-wheel="focused"` the wheel scrolls the page until
 * the stage has the focus, the picture is zoomed, or Ctrl is held.
 *
 * Returns `fit()`, `actual()` (one to one), `isFitted()`, and `place()` and `setPlace(…)`: scale, x and y, to
 * show two pictures alike. The stage hears of each change by the event `zoom`.
 */
export const makeZoom = (stage, image, signal) => {
  const now = { scale: 1, x: 0, y: 0, fitted: true };
  const one = () => 1 / (window.devicePixelRatio || 1);
  const size = () => ({ width: image.naturalWidth || 1, height: image.naturalHeight || 1 });
  Object.assign(image.style, { position: "absolute", left: "0", top: "0", maxWidth: "none", maxHeight: "none",
    transformOrigin: "0 0" });
  stage.style.overflow = "hidden";
  if (getComputedStyle(stage).position === "static") stage.style.position = "relative";

  const fittedScale = () => {
    const { width, height } = size();
    return Math.min(stage.clientWidth / width, stage.clientHeight / height) || 1;
  };
  /** Keep it within the stage where it is larger, and in the middle where it is not. */
  const within = (place, shown, room) =>
    shown <= room ? (room - shown) / 2 : Math.min(0, Math.max(room - shown, place));
  const apply = () => {
    const { width, height } = size();
    now.x = within(now.x, width * now.scale, stage.clientWidth);
    now.y = within(now.y, height * now.scale, stage.clientHeight);
    image.style.width = `${width}px`;
    image.style.height = `${height}px`;
    image.style.transform = `translate(${now.x}px, ${now.y}px) scale(${now.scale})`;
    image.draggable = now.fitted; // a zoomed one is moved instead
    stage.style.cursor = now.fitted ? "" : "grab";
    stage.dispatchEvent(new CustomEvent("zoom", { detail: { ...now } }));
  };
  const fit = () => {
    now.scale = fittedScale();
    now.fitted = true;
    apply();
  };
  /** Zoom so that what is at this point of the stage (in pixels) stays there. */
  const zoomTo = (scale, x = stage.clientWidth / 2, y = stage.clientHeight / 2) => {
    const fitting = fittedScale();
    const next = Math.min(Math.max(LARGEST, fitting), Math.max(Math.min(fitting, one()), scale));
    now.x = x - ((x - now.x) * next) / now.scale;
    now.y = y - ((y - now.y) * next) / now.scale;
    now.scale = next;
    now.fitted = Math.abs(next - fitting) < 1e-6;
    apply();
  };
  const actual = (x, y) => zoomTo(one(), x, y);
  const isActual = () => Math.abs(now.scale - one()) < 1e-6;
  const at = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left - stage.clientLeft, event.clientY - box.top - stage.clientTop];
  };
  const isAsked = (event) =>
    stage.dataset.wheel !== "focused" || event.ctrlKey || !now.fitted || stage.matches(":focus-within");
  const onWheel = (event) => {
    if (!isAsked(event)) return;
    event.preventDefault();
    const pixels = event.deltaMode === 1 ? event.deltaY * 33 : event.deltaY; // Firefox counts lines
    zoomTo(now.scale * Math.exp(-pixels * WHEEL_RATE), ...at(event));
  };
  const toggle = (...point) => (isActual() && !now.fitted ? fit() : actual(...point));

  let held = null;
  const onDown = (event) => {
    if (event.button !== 0 || now.fitted || event.target.closest("button, input")) return;
    held = { x: event.clientX - now.x, y: event.clientY - now.y };
    stage.setPointerCapture(event.pointerId);
    stage.style.cursor = "grabbing";
  };
  const onMove = (event) => {
    if (!held) return;
    now.x = event.clientX - held.x;
    now.y = event.clientY - held.y;
    apply();
  };
  const onUp = () => {
    held = null;
    stage.style.cursor = now.fitted ? "" : "grab";
  };
  const move = (x, y) => {
    now.x += x;
    now.y += y;
    apply();
  };
  const keys = {
    0: fit,
    1: () => toggle(),
    "+": () => zoomTo(now.scale * 1.25),
    "=": () => zoomTo(now.scale * 1.25),
    "-": () => zoomTo(now.scale / 1.25),
  };
  const arrows = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
    if (event.key in keys) keys[event.key]();
    else if (event.key in arrows && !now.fitted) move(...arrows[event.key].map((each) => each * KEY_STEP));
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  stage.addEventListener("wheel", onWheel, { signal, passive: false });
  stage.addEventListener("dblclick", (event) => toggle(...at(event)), { signal });
  stage.addEventListener("pointerdown", onDown, { signal });
  stage.addEventListener("pointermove", onMove, { signal });
  stage.addEventListener("pointerup", onUp, { signal });
  stage.addEventListener("pointercancel", onUp, { signal });
  stage.addEventListener("keydown", onKey, { signal });
  image.addEventListener("load", () => (now.fitted ? fit() : apply()), { signal });
  const watcher = new ResizeObserver(() => (now.fitted ? fit() : apply()));
  watcher.observe(stage);
  signal.addEventListener("abort", () => watcher.disconnect(), { once: true });
  fit();
  return {
    fit,
    actual: () => actual(),
    isFitted: () => now.fitted,
    place: () => ({ scale: now.scale, x: now.x, y: now.y }),
    setPlace({ scale, x, y }) {
      Object.assign(now, { scale, x, y, fitted: false });
      apply();
    },
  };
};
