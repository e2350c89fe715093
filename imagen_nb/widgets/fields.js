// The controls of a form: each shows a setting of the model, and sets it.

import { element } from "./dom.js";

const TYPING_MS = 350; // after the last key, until what was typed is told

let last = 0;
/** An id that no other element of the page has. */
export const freshId = (name) => {
  last += 1;
  return `imagen-panel-${name}-${last}-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
};

const KINDS = {
  text: { make: (more) => element("input", { type: "text", ...more }), read: (input) => input.value },
  area: { make: (more) => element("textarea", more), read: (input) => input.value },
  check: { make: (more) => element("input", { type: "checkbox", ...more }), read: (input) => input.checked },
  choice: { make: (more) => element("select", more), read: (input) => input.value },
  whole: { make: (more) => element("input", { type: "number", step: 1, ...more }),
    read: (input) => (Number.isNaN(input.valueAsNumber) ? undefined : Math.round(input.valueAsNumber)) },
  number: { make: (more) => element("input", { type: "number", step: "any", ...more }),
    read: (input) => (Number.isNaN(input.valueAsNumber) ? undefined : input.valueAsNumber) },
  optional: { make: (more) => element("input", { type: "number", step: "any", ...more }),
    read: (input) => (Number.isNaN(input.valueAsNumber) ? null : input.valueAsNumber) },
  range: { make: (more) => element("input", { type: "range", ...more }), read: (input) => input.valueAsNumber },
};

/**
 * A control of the setting `name`: its node, its input, and what it says now.
 *
 * `values()`: undefined for a number that is none, which is then left as it was. `refuse(reason)` switches it
 * off and says why; "" switches it on.
 */
export const makeField = (model, kind, name, label, signal, more = {}) => {
  const { make, read } = KINDS[kind];
  const input = make({ id: freshId(name), ...more });
  const text = element("label", { htmlFor: input.id }, label);
  const beside = element("div", { className: "imagen-panel-beside" }, input);
  const why = element("small", { className: "imagen-panel-why" });
  const node = element("div", { className: "imagen-panel-field" }, text, beside, why);
  node.dataset.field = name;
  const show = () => {
    const value = model.get(name);
    if (kind === "check") input.checked = value;
    else if (read(input) !== value || input.value === "") input.value = value ?? "";
    node.dispatchEvent(new CustomEvent("shown"));
  };
  const value = () => {
    const found = read(input);
    return found === undefined ? model.get(name) : found;
  };
  let timer;
  let isTyped = false; // and not told yet: what the kernel says meanwhile is of before
  const settle = () => {
    clearTimeout(timer);
    isTyped = false;
  };
  const tell = () => {
    settle();
    if (JSON.stringify(model.get(name)) === JSON.stringify(value())) return show();
    model.set(name, value());
    model.save_changes();
  };
  input.addEventListener("change", tell, { signal });
  input.addEventListener("input", () => {
    clearTimeout(timer);
    isTyped = true;
    if (kind === "text" || kind === "area" || kind === "range") timer = setTimeout(tell, TYPING_MS);
    node.dispatchEvent(new CustomEvent("edited"));
  }, { signal });
  const onChange = () => {
    if (!isTyped) show();
  };
  model.on(`change:${name}`, onChange);
  signal.addEventListener("abort", () => {
    clearTimeout(timer);
    model.off(`change:${name}`, onChange);
  }, { once: true });
  show();
  return {
    name, node, input, value, show, beside,
    /** What is typed is told by another way: forget that it was to be told. */
    settle,
    refuse(reason) {
      input.disabled = Boolean(reason);
      why.textContent = reason;
      node.classList.toggle("imagen-panel-refused", Boolean(reason));
    },
  };
};

/** Show what is wrong, each problem beside the control of its setting. */
export const showProblems = (root, problems) => {
  for (const old of root.querySelectorAll(".imagen-panel-problem")) old.remove();
  for (const input of root.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
  for (const [name, text] of Object.entries(problems)) {
    const field = root.querySelector(`[data-field="${CSS.escape(name)}"]`);
    if (!field) continue;
    const line = element("div", { className: "imagen-panel-problem", role: "alert", id: freshId("problem") }, text);
    (field.closest(".imagen-panel-row") ?? field).append(line); // across all of a row
    const folded = field.closest("details");
    if (folded) folded.open = true;
    const input = field.querySelector("input, textarea, select");
    if (!input) continue;
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", line.id);
  }
};
