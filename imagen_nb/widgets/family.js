// The family of a picture: what it was drawn from, itself, and what was drawn from it.

import { element, isolatedText, objectUrl, visibleText } from "./dom.js";

const WAYS = { init_image: "init image", mask: "mask", reference: "reference", like: "like it", reproduce: "again" };

/**
 * A line for each generation, the oldest first, with a small picture of each relative.
 *
 * `look(at)` is called for one that the gallery has.
 */
export const makeFamily = (relatives, buffers, look, signal) => {
  const lines = new Map();
  relatives.forEach((one, index) => {
    const line = lines.get(one.generation) ?? [];
    lines.set(one.generation, [...line, relative(one, buffers[index], look, signal)]);
  });
  return element("section", { className: "imagen-family", "aria-label": "Family" },
    ...[...lines].map(([generation, members]) =>
      element("div", { role: "group", "aria-label": nameOf(generation) }, element("span", {}, nameOf(generation)), ...members)));
};

const nameOf = (generation) => {
  if (generation === 0) return "this picture";
  return generation < 0 ? "drawn from" : "drawn from it";
};

const relative = ({ generation, how, prompt, at }, buffer, look, signal) => {
  const isOther = generation !== 0;
  const way = WAYS[how] ?? how;
  const text = visibleText([way, prompt].filter(Boolean).join(": ")) || "a picture";
  const image = buffer.byteLength
    ? element("img", { src: objectUrl(buffer, signal), alt: "" })
    : element("span", { className: "imagen-unseen" }, "?");
  const made = element("button", { type: "button", title: text, "aria-label": text, disabled: !isOther || at === null }, image);
  if (way) made.append(isolatedText(way));
  made.addEventListener("click", () => look(at), { signal });
  return made;
};
