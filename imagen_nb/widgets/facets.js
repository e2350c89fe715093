// The facets of a gallery: of each, its values with how many pictures have them, to be ticked.

import { element, isolatedText } from "./dom.js";

const MOST_SHOWN = 200; // values of a list; the others are found by its search box

/** A row of drop-down lists; `changed` is called when something is ticked. */
export const makeFacetLists = (names, changed, signal) => {
  const lists = Object.fromEntries(names.map((name) => [name, makeFacetList(name, changed, signal)]));
  const root = element("div", { className: "imagen-facets" }, ...Object.values(lists).map((list) => list.root));
  root.addEventListener("keydown", (event) => closeOnEscape(event), { signal });
  root.addEventListener("focusout", (event) => {
    const open = event.target.closest("details");
    if (open && event.relatedTarget && !open.contains(event.relatedTarget)) open.open = false;
  }, { signal });
  return {
    root,
    chosen: () => Object.fromEntries(names.map((name) => [name, [...lists[name].chosen]])),
    clear: () => Object.values(lists).forEach((list) => { list.take(list.counts, []); }),
    /** The values that are known of a facet. */
    values: (name) => lists[name].counts.map(([value]) => value),
    show: (counts, picked) => {
      for (const name of names) lists[name].take(counts[name] ?? [], picked ? picked[name] ?? [] : null);
    },
  };
};

const makeFacetList = (name, changed, signal) => {
  const summary = element("summary", {}, name);
  // A press on words focuses what is around them. Were that the notebook's cell, the list would close
  // under the mouse, which crashes Chromium's tab.
  const box = element("div", { className: "imagen-values", role: "group", "aria-label": name, tabIndex: -1 });
  const search = element("input", { type: "search", placeholder: "find", "aria-label": `Find a value of ${name}` });
  const values = element("div", {});
  const more = element("small", {});
  box.append(search, values, more);
  const root = element("details", { "data-facet": name }, summary, box);
  const labels = new Map(); // by value: they are kept, so that the focus stays where it is
  const list = { root, counts: [], chosen: new Set() };

  const draw = () => {
    summary.textContent = list.chosen.size ? `${name} (${list.chosen.size})` : name;
    root.hidden = list.counts.length === 0 && list.chosen.size === 0;
    if (!root.open) return;
    const wanted = search.value.toLowerCase();
    const gone = [...list.chosen].filter((value) => !list.counts.some(([known]) => known === value));
    const found = [...gone.map((value) => [value, 0]), ...list.counts].filter(([value]) => describe(name, value).toLowerCase().includes(wanted));
    const shown = found.slice(0, MOST_SHOWN).map(([value, count]) => {
      if (!labels.has(value)) labels.set(value, makeLabel(name, value));
      const label = labels.get(value);
      label.update(count, list.chosen.has(value));
      return label.node;
    });
    if (shown.some((node, place) => values.children[place] !== node) || shown.length !== values.children.length) values.replaceChildren(...shown);
    const left = found.length - shown.length;
    more.hidden = found.length > 0 && left === 0;
    more.textContent = found.length ? (left ? `and ${left} more` : "") : "nothing found";
  };
  list.take = (counts, picked) => {
    list.counts = counts;
    if (picked) list.chosen = new Set(picked);
    draw();
  };
  root.addEventListener("toggle", () => {
    draw();
    keepInside(box);
  }, { signal });
  search.addEventListener("input", draw, { signal });
  values.addEventListener("change", (event) => {
    const { value } = event.target.closest("label").dataset;
    if (event.target.checked) list.chosen.add(value);
    else list.chosen.delete(value);
    draw();
    changed();
  }, { signal });
  return list;
};

/** Move a list that would stick out of the gallery on its right. */
const keepInside = (box) => {
  box.style.left = "0";
  const around = box.closest(".imagen-widget").getBoundingClientRect();
  const over = box.getBoundingClientRect().right - around.right + 8;
  if (over > 0) box.style.left = `${-over}px`;
};

const describe = (name, value) => (name === "rating" && value ? "★".repeat(Number(value)) : value);

const makeLabel = (name, value) => {
  const input = element("input", { type: "checkbox" });
  const count = element("small", {});
  const text = value ? isolatedText(describe(name, value)) : element("em", {}, "none");
  const node = element("label", {}, input, text, count);
  node.dataset.value = value;
  if (name === "rating" && value) input.setAttribute("aria-label", `${value} of 5 stars`);
  return {
    node,
    update: (number, isChosen) => {
      count.textContent = number.toLocaleString();
      node.classList.toggle("imagen-none", number === 0);
      input.checked = isChosen;
    },
  };
};

const closeOnEscape = (event) => {
  const open = event.target.closest("details[open]");
  if (event.key !== "Escape" || !open) return;
  open.open = false;
  open.querySelector("summary").focus();
};
