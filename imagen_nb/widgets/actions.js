// What can be done with the pictures that are selected, in a line that is there while some are.

import { button, element } from "./dom.js";

const FORMS = {
  tag: { label: "Tags to add, with commas between", placeholder: "sea, best of", suggests: true },
  untag: { label: "Tags to remove, with commas between", placeholder: "draft", suggests: true },
  export: { label: "Folder, or a file that ends in .zip", placeholder: "pictures.zip" },
  name: { label: "Name of the variable", placeholder: "picked" },
};

/**
 * `act` has: mark(tag), retag(add, remove), compare(), do(act, value), recall(part), findLike(), remove(), clear(). `known()` gives
 * the tags to suggest.
 */
export const makeActions = (act, known, signal) => {
  const submit = {
    tag: (value) => act.retag(namesIn(value), []),
    untag: (value) => act.retag([], namesIn(value)),
    export: (value) => act.do("export", value),
    name: (value) => act.do("name", value),
  };
  const form = makeForm((kind, value) => submit[kind](value), known, signal);
  const said = element("span", { role: "status", className: "imagen-told" });
  const press = (text, title, does) => button(text, title, does, signal);
  const single = [ // for one picture
    press("More like this", "Show first what is most like this picture (m)", act.findLike),
    press("Recall", "Set the Panel as for this picture", () => act.recall("all")),
    press("Init image", "Draw from this picture in the Panel", () => act.recall("init")),
  ];
  const buttons = element(
    "div", { className: "imagen-line", role: "group", "aria-label": "With what is selected" },
    ...[1, 2, 3, 4, 5].map((stars) => press(`${stars}★`, `Rate ${stars}`, () => act.mark(`${stars}`))),
    press("☆", "Unrate", () => act.mark("0")),
    press("Keep", "Keeper", () => act.mark("keeper")),
    press("Reject", "Reject", () => act.mark("reject")),
    press("Tag…", "Add tags", () => form.open("tag")),
    press("Untag…", "Remove tags", () => form.open("untag")),
    press("Compare", "Compare two to nine pictures", act.compare),
    press("Contact sheet", "Contact sheet", () => act.do("sheet", "")),
    press("Export…", "Export to a folder or a zip", () => form.open("export")),
    press("To variable…", "Make the rows a variable of the notebook", () => form.open("name")),
    ...single,
    press("Delete…", "Delete (Del)", act.remove),
    press("Select none", "Select none", act.clear),
  );
  const root = element("div", { className: "imagen-actions", hidden: true }, buttons, form.root, said);
  return {
    root,
    show: (count) => {
      root.hidden = count === 0;
      for (const one of single) one.disabled = count !== 1;
      if (count === 0) form.close();
    },
    say: (text) => { said.textContent = text; },
  };
};

const namesIn = (text) => text.split(",").map((name) => name.trim()).filter(Boolean);

/** One line to type in, for whatever is asked. */
const makeForm = (submit, known, signal) => {
  const list = element("datalist", { id: `imagen-tagline-${Math.random().toString(36).slice(2)}` });
  const label = element("label", {});
  const input = element("input", { type: "text", maxLength: 1000 });
  let kind = "";
  const close = () => { root.hidden = true; };
  const done = () => {
    close();
    submit(kind, input.value);
  };
  const root = element("div", { className: "imagen-line imagen-form", hidden: true }, label, input, list,
    button("OK", "Do it (Enter)", done, signal), button("Cancel", "Cancel (Esc)", close, signal));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") done();
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
  }, { signal });
  return {
    root, close,
    open: (which) => {
      kind = which;
      const { label: text, placeholder, suggests } = FORMS[kind];
      Object.assign(input, { value: "", placeholder });
      input.setAttribute("aria-label", text);
      label.textContent = text;
      if (suggests) {
        list.replaceChildren(...known().map((value) => element("option", { value })));
        input.setAttribute("list", list.id);
      } else input.removeAttribute("list");
      root.hidden = false;
      input.focus();
    },
  };
};
