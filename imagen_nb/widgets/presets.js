// Presets: settings by name, chosen, saved and removed.

import { element, visibleText } from "./dom.js";
import { freshId } from "./fields.js";
import { iconButton } from "./icons.js";

/** `send(what, more)` asks the kernel; `form()` is what is set now. */
export const makePresets = (send, form, signal) => {
  const choice = element("select", { id: freshId("preset") });
  const name = element("input", { type: "text", placeholder: "name of a new one", "aria-label": "Preset's name",
    maxLength: 60 });
  const save = iconButton("save", "save these settings as a preset", () => {
    if (name.value.trim()) send("save-preset", { name: name.value.trim(), form: form() });
    else name.focus();
  }, signal);
  const remove = iconButton("bin", "remove this preset", () => send("remove-preset", { name: choice.value }), signal);
  const beside = element("div", { className: "imagen-panel-beside" }, choice, remove, name, save);
  const node = element("div", { className: "imagen-panel-field" },
    element("label", { htmlFor: choice.id }, "Preset"), beside);
  const show = () => (remove.disabled = !choice.value);
  choice.addEventListener("change", () => {
    show();
    if (choice.value) send("use-preset", { name: choice.value });
  }, { signal });
  name.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    save.click();
  }, { signal });
  return {
    node,
    receive(message) {
      const before = message.names.includes(name.value.trim()) ? name.value.trim() : choice.value;
      choice.replaceChildren(element("option", { value: "" }, message.names.length ? "none" : "none saved yet"),
        ...message.names.map((each) => element("option", { value: each }, visibleText(each))));
      choice.value = message.names.includes(before) ? before : "";
      name.value = "";
      show();
    },
  };
};
