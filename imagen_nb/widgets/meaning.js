// What pictures shall be like: words by their meaning, or a picture. Beside the box for words.

import { button, element, isolatedText } from "./dom.js";

const BY_WORDS = { placeholder: 'red "tall ship" -night', label: "Filter by words of the prompt" };
const BY_MEANING = { placeholder: "a quiet harbour at dusk", label: "Find by what pictures show" };
export const SCORE = "imagen:score"; // the order of the kernel's that is by likeness

/** `words` is the box; `changed` is called when something else is looked for. */
export const makeMeaning = (words, changed, signal) => {
  const toggle = button("Meaning", "Find by meaning, not by words", () => { press(!isPressed()); changed(); }, signal);
  const name = element("span", {});
  const leave = button("×", "Show all pictures again, not those like one", () => { like(null); words.focus(); changed(); }, signal);
  const chip = element("span", { className: "imagen-chip", hidden: true }, name, leave);
  let picture = null; // its position and short id
  let isRanked = false; // whether the kernel said that what it shows is

  const isPressed = () => toggle.getAttribute("aria-pressed") === "true";
  const press = (on) => {
    toggle.setAttribute("aria-pressed", on);
    const { placeholder, label } = on ? BY_MEANING : BY_WORDS;
    words.placeholder = placeholder;
    words.setAttribute("aria-label", label);
  };
  const like = (one) => {
    picture = one;
    chip.hidden = one === null;
    name.replaceChildren("like ", isolatedText(one?.id ?? "this"));
  };
  const ranks = () => picture !== null || (isPressed() && words.value.trim() !== "");
  press(false);
  return {
    toggle, chip, isPressed, like,
    isOfPicture: () => picture !== null,
    /** What the kernel is asked; the first answer is in the order of the score, whatever the order was. */
    asked: (sort) => ({ meant: isPressed(), like: picture?.at ?? null, sort: ranks() && !isRanked ? SCORE : sort }),
    /** Show what the kernel says, but for what is not told to it yet, as people type. */
    show: (message, isTyping) => {
      isRanked = message.sorts.some(([value]) => value === SCORE);
      if (isTyping) return;
      press(message.meant);
      like(message.like);
    },
  };
};
