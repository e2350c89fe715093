// Elements made from data, never from HTML: prompts are other people's text.

/** Make an element with these properties (attributes, where it has no such property) and children. */
export const element = (tag, values = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(values)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
};

/** Text as people can see it: a NUL is shown as what it is, no character. */
export const visibleText = (text) => text.replaceAll("\0", "\uFFFD");

/** Untrusted text that keeps its direction to itself. */
export const isolatedText = (text) => element("bdi", {}, visibleText(text));

/** A button; `keys` tells which key does the same. */
export const button = (text, title, act, signal) => {
  const made = element("button", { type: "button", title, "aria-label": title }, text);
  made.addEventListener("click", act, { signal });
  return made;
};

/** A file of the kernel as a URL for an image; revoked when the signal aborts. */
export const objectUrl = (buffer, signal) => {
  const url = URL.createObjectURL(new Blob([buffer]));
  signal.addEventListener("abort", () => URL.revokeObjectURL(url), { once: true });
  return url;
};

/** Put text into the clipboard, also where the page is not served over HTTPS. Rejects if it cannot. */
export const copyText = async (text) => {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = element("textarea", { value: text });
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("this page may not copy");
};

/** Keep the notebook's shortcuts out: JupyterLab looks at the mark, nbclassic at what bubbles. */
export const blockNotebookKeys = (root, signal) => {
  root.dataset.lmSuppressShortcuts = "true";
  for (const name of ["keydown", "keyup", "keypress"]) {
    root.addEventListener(name, (event) => event.stopPropagation(), { signal });
  }
};

const DAY = new Intl.DateTimeFormat(undefined, { timeZone: "UTC", weekday: "long", day: "numeric", month: "long", year: "numeric" });
const MONTH = new Intl.DateTimeFormat(undefined, { timeZone: "UTC", month: "short", year: "numeric" });

const inWords = (format, day) => {
  const moment = new Date(`${day}T00:00:00Z`);
  return Number.isNaN(moment.getTime()) ? "no date" : format.format(moment);
};

/** A day such as 2026-05-11 in the words of whoever reads. */
export const dayText = (day) => inWords(DAY, day);

/** A month such as 2026-05, likewise, in short. */
export const monthText = (month) => inWords(MONTH, `${month}-01`);
