// The facets of a gallery: of each, its values with how many pictures have them, to be ticked.

import { element, isolatedText } from "./dom.js";

/** A row of drop-down lists; `changed` is called with what is ticked, by facet. */
export const makeFacetLists = (names, changed, signal) => {
  const lists = Object.fromEntries(names.map((name) => [name, makeFacetList(name, names[0])]));
  const root = element("div", { className: "imagen-facets" }, ...Object.values(lists).map((list) => list.root));
  const chosen = () => Object.fromEntries(names.map((name) => [name, tickedValues(lists[name])]));
  root.addEventListener("change", () => changed(chosen()), { signal });
  root.addEventListener("keydown", (event) => closeOnEscape(event), { signal });
  root.addEventListener("focusout", (event) => {
    const open = event.target.closest("details");
    if (open && event.relatedTarget && !open.contains(event.relatedTarget)) open.open = false;
  }, { signal });
  return {
    root,
    chosen,
    clear: () => root.querySelectorAll("input").forEach((input) => { input.checked = false; }),
    show: (counts, picked) => {
      for (const name of names) updateValues(lists[name], counts[name], picked?.[name]);
    },
  };
};

const makeFacetList = (name) => {
  const summary = element("summary", {}, name);
  // A press on words focuses what is around them. Were that the notebook's cell, the list would close
  // under the mouse, which crashes Chromium's tab.
  const values = element("div", { className: "imagen-values", role: "group", "aria-label": name, tabIndex: -1 });
  return { name, summary, values, known: new Map(), root: element("details", { "data-facet": name }, summary, values) };
};

const tickedValues = (list) => [...list.known].filter(([, one]) => one.input.checked).map(([value]) => value);

/** Update values in place: they keep their elements, so that the focus stays where it is. */
const updateValues = (list, counts, picked) => {
  for (const [value] of counts) if (!list.known.has(value)) addValue(list, value);
  const now = new Map(counts); // without a tag that no picture has any more
  list.known.forEach(({ label, count: shown }, value) => {
    const count = now.get(value) ?? 0;
    shown.textContent = count;
    label.classList.toggle("imagen-none", count === 0);
  });
  if (picked) list.known.forEach((one, value) => { one.input.checked = picked.includes(value); });
  const chosen = tickedValues(list).length;
  list.summary.textContent = chosen ? `${list.name} (${chosen})` : list.name;
  list.root.hidden = list.known.size === 0;
};

const addValue = (list, value) => {
  const input = element("input", { type: "checkbox" });
  const count = element("small", {});
  const label = element("label", {}, input, value ? isolatedText(value) : element("em", {}, "none"), count);
  list.known.set(value, { input, label, count });
  list.values.append(label);
};

const closeOnEscape = (event) => {
  const open = event.target.closest("details[open]");
  if (event.key !== "Escape" || !open) return;
  open.open = false;
  open.querySelector("summary").focus();
};
