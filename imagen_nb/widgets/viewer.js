// The current picture: as large as there is room for, with all that is known of it and can be done with it.

import { copyText, element, isolatedText, visibleText } from "./dom.js";
import { freshId } from "./fields.js";
import { iconButton } from "./icons.js";
import { PICTURE_TYPE } from "./images.js";
import { makeZoom } from "./zoom.js";

const SETTLED_MS = 80; // that a picture is the current one, until all of it is asked for
const STARS = [1, 2, 3, 4, 5];

/** `send(what, more)` asks the kernel; `said(text)` shows a line. */
export const makeViewer = (send, said, signal) => {
  const image = element("img", { alt: "" });
  const growing = element("img", { alt: "the picture so far", className: "imagen-panel-growing", hidden: true });
  const before = element("img", { alt: "the init image", className: "imagen-panel-earlier", hidden: true });
  const empty = element("div", { className: "imagen-panel-empty" }, "What you draw appears here");
  const split = element("div", { className: "imagen-panel-split", hidden: true });
  const stage = element("div", { className: "imagen-panel-stage", tabIndex: 0, "aria-label": "Current picture" },
    image, before, split, growing, empty);
  stage.setAttribute("role", "group");
  stage.dataset.wheel = "focused"; // else the notebook could not be scrolled past it
  const zoom = makeZoom(stage, image, signal);
  const now = { one: null, whole: null, urls: [], growing: null };

  const ask = (what, more = {}) => now.one && send(what, { id: now.one.id, ...more });
  const act = (name, title, what) => iconButton(name, title, what, signal);
  const copyWords = (text, what) =>
    copyText(text).then(() => said(`copied: ${what}`), () => said(`copy it by hand: ${text}`));
  const copyImage = async () => {
    if (!now.whole) return;
    try {
      const file = new Blob([now.whole.data], { type: now.whole.type });
      await navigator.clipboard.write([new ClipboardItem({ [file.type]: file })]);
      said("copied: the picture");
    } catch {
      said("this page may not copy pictures: drag it out as a file");
    }
  };
  const pressed = (button, on) => button.setAttribute("aria-pressed", String(on));
  const toggleMark = (tag) => (event) =>
    ask("mark", { tag, on: event.currentTarget.getAttribute("aria-pressed") !== "true" });
  const keeper = act("keeper", "keeper", toggleMark("keeper"));
  const reject = act("reject", "reject", toggleMark("reject"));
  const stars = STARS.map((count) => act("star", count === 1 ? "1 star" : `${count} stars`, () =>
    ask("rate", { stars: starsOf(now.one) === count ? 0 : count })));
  const rating = element("span", { className: "imagen-panel-stars", "aria-label": "Rating" }, ...stars);
  rating.setAttribute("role", "group");
  const compare = act("halves", "Before and after", () => showBefore(before.hidden));
  pressed(compare, false);
  const slider = element("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": "before and after",
    hidden: true });
  slider.addEventListener("input", () => stage.style.setProperty("--split", `${slider.value}%`), { signal });

  const varyCount = element("input", { type: "number", min: 1, max: 100, value: 4, id: freshId("vary") });
  const varyStrength = element("input", { type: "range", min: 0.05, max: 1, step: 0.05, id: freshId("vary") });
  const strengthPart = element("span", {}, element("label", { htmlFor: varyStrength.id }, "strength "), varyStrength);
  const varyGo = element("button", { type: "button" }, "Draw variations");
  const varying = element("div", { className: "imagen-panel-tools imagen-panel-varying", hidden: true },
    element("label", { htmlFor: varyCount.id }, "pictures "), varyCount, strengthPart, varyGo);
  varyGo.addEventListener("click", () => {
    const drawnFrom = now.one?.strength !== null;
    ask("vary", { count: varyCount.valueAsNumber || 1, strength: drawnFrom ? varyStrength.valueAsNumber : null });
    varying.hidden = true;
  }, { signal });
  const vary = act("vary", "Vary", () => {
    varying.hidden = !varying.hidden;
    if (!varying.hidden) varyCount.focus();
  });
  const recall = (name, part) => act(name, `Recall ${part}`, () => ask("recall", { part }));
  const group = (...buttons) => element("span", { className: "imagen-panel-group" }, ...buttons);
  const tools = element("div", { className: "imagen-panel-tools", hidden: true },
    group(recall("recall", "all"), recall("text", "prompt"), recall("seed", "seed"), recall("size", "size")),
    group(act("image", "Use as init image", () => ask("start-from")), vary,
      act("repeat", "Reproduce", () => ask("reproduce"))),
    group(keeper, reject), rating,
    group(act("copy", "Copy image", copyImage),
      act("code", "Copy settings", () => now.whole && copyWords(now.whole.call, "the call that draws it")),
      act("file", "Copy path", () => now.one && copyWords(now.one.path, now.one.path))),
    group(act("fit", "One to one, or fitted (1)", () => (zoom.isFitted() ? zoom.actual() : zoom.fit())), compare));
  tools.setAttribute("role", "toolbar");
  tools.setAttribute("aria-label", "Current picture");

  const caption = element("div", { className: "imagen-panel-caption" });
  const verdict = element("strong", { className: "imagen-panel-verdict" });
  const tagList = element("span", { className: "imagen-panel-tags" });
  const newTag = element("input", { type: "text", placeholder: "add a tag", "aria-label": "Add a tag" });
  newTag.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey || !newTag.value.trim()) return;
    ask("tag", { tag: newTag.value.trim(), on: true });
    newTag.value = "";
  }, { signal });
  const facts = element("details", { className: "imagen-panel-facts" }, element("summary", {}, "All facts"));
  const table = element("dl");
  facts.append(table);
  const about = element("div", { className: "imagen-panel-about", hidden: true }, caption, verdict,
    element("div", { className: "imagen-panel-tools" }, tagList, newTag), facts);
  const node = element("div", { className: "imagen-panel-viewer" }, stage, slider, tools, varying, about);

  const showBefore = (on) => {
    if (on && now.one) return ask("before");
    before.hidden = split.hidden = slider.hidden = true;
    pressed(compare, false);
  };
  const release = () => {
    for (const url of now.urls) URL.revokeObjectURL(url);
    now.urls = [];
  };
  const urlOf = (data, type) => {
    const url = URL.createObjectURL(new Blob([data], { type }));
    now.urls.push(url);
    return url;
  };
  const shape = (width, height) => node.style.setProperty("--ratio", width && height ? width / height : 1);
  const showTags = (tags) => {
    pressed(keeper, tags.includes("keeper"));
    pressed(reject, tags.includes("reject"));
    const count = starsOf({ tags });
    for (const [at, star] of stars.entries()) pressed(star, at < count);
    const own = tags.filter((tag) => !/^(keeper|reject|rating:.*)$/.test(tag));
    tagList.replaceChildren(...own.map((tag) => element("span", { className: "imagen-panel-tag" }, isolatedText(tag),
      iconButton("close", `remove the tag ${visibleText(tag)}`, () => ask("tag", { tag, on: false })))));
  };
  // What is dragged out of the page is the file itself.
  image.addEventListener("dragstart", (event) => {
    if (!now.whole) return;
    event.dataTransfer.setData(PICTURE_TYPE, now.one.id);
    event.dataTransfer.setData("DownloadURL", `${now.whole.type}:${now.whole.name}:${image.src}`);
    event.dataTransfer.setData("text/uri-list", image.src);
  }, { signal });
  signal.addEventListener("abort", () => {
    clearTimeout(now.timer);
    release();
  }, { once: true });
  return {
    node, stage, zoom,
    current: () => now.one,
    press: (what) => ({ vary, keeper, reject, compare })[what].click(),
    rate: (count) => ask("rate", { stars: count }),
    ask,
    /** Show one of the strip: its thumbnail first, and the whole picture when it comes. */
    show(one, thumbnail) {
      const same = now.one?.id === one.id;
      now.one = one;
      now.whole = null;
      showBefore(false);
      varying.hidden = true;
      empty.hidden = true;
      about.hidden = tools.hidden = false;
      image.alt = visibleText(one.prompt);
      if (!same || !image.src) image.src = thumbnail;
      if (!now.growing) shape(one.width, one.height);
      if (!same) zoom.fit();
      caption.replaceChildren(isolatedText(one.prompt), element("small", {}, one.summary));
      verdict.textContent = one.verdict;
      strengthPart.hidden = one.strength === null;
      if (one.strength !== null) varyStrength.value = one.strength;
      compare.disabled = true;
      showTags(one.tags);
      clearTimeout(now.timer); // many at once are passed by: a view that comes up hears of a hundred
      now.timer = setTimeout(() => ask("whole"), SETTLED_MS);
    },
    whole(message, buffers) {
      if (message.id !== now.one?.id || !buffers.length) return;
      const old = now.urls;
      now.urls = [];
      now.whole = { data: buffers[0], type: message.type, name: message.name, call: message.call };
      image.src = urlOf(buffers[0], message.type);
      for (const url of old) URL.revokeObjectURL(url);
      compare.disabled = !message.before;
      table.replaceChildren(...message.facts.flatMap(([name, value]) =>
        [element("dt", {}, name), element("dd", {}, isolatedText(value))]));
    },
    before(message, buffers) {
      if (message.id !== now.one?.id || !buffers.length) return;
      before.src = urlOf(buffers[0], "image/webp");
      zoom.fit();
      before.hidden = split.hidden = slider.hidden = false;
      stage.style.setProperty("--split", `${slider.value}%`);
      pressed(compare, true);
    },
    tags(id, tags) {
      if (id !== now.one?.id) return;
      now.one.tags = tags;
      showTags(tags);
    },
    /** The picture that is being drawn, over the current one; null when there is none. */
    growing(drawing) {
      now.growing = drawing;
      growing.hidden = !drawing;
      stage.classList.toggle("imagen-panel-busy", Boolean(drawing));
      if (drawing) {
        empty.hidden = true;
        shape(drawing.width, drawing.height);
        growing.src = drawing.url;
      } else {
        growing.removeAttribute("src");
        if (now.one) shape(now.one.width, now.one.height);
        else empty.hidden = false;
      }
    },
  };
};

const starsOf = (one) => Number(one?.tags.find((tag) => /^rating:[1-5]$/.test(tag))?.slice(-1) ?? 0);
