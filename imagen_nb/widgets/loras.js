// The LoRAs of a drawing: chosen from those that were found, each with its weight and its words.

import { element, visibleText } from "./dom.js";
import { freshId } from "./fields.js";
import { iconButton } from "./icons.js";

const nameOf = (file) => file.replace(/^.*[/\\]/, "").replace(/\.safetensors$/, "");

/** `insert(words)` puts what triggers a LoRA into the prompt. */
export const makeLoras = (model, insert, signal) => {
  const choice = element("select", { id: freshId("lora") });
  const rows = element("ul", { className: "imagen-panel-loras", "aria-label": "LoRAs" });
  const why = element("small", { className: "imagen-panel-why" });
  const node = element("div", { className: "imagen-panel-field" },
    element("label", { htmlFor: choice.id }, "Add a LoRA"), choice, rows, why);
  node.dataset.field = "loras";
  let found = [];
  let refusal = "";
  let reasons = ""; // why there are no more

  const set = (loras) => {
    model.set("loras", loras);
    model.save_changes();
  };
  const chosen = () => model.get("loras") ?? [];
  const row = ([file, weight], at) => {
    const known = found.find((one) => one.file === file);
    const name = visibleText(known?.name ?? nameOf(file));
    const number = element("input", { type: "number", step: 0.05, value: weight, "aria-label": `weight of ${name}` });
    number.addEventListener("change", () => {
      const next = number.valueAsNumber;
      if (Number.isNaN(next)) number.value = weight;
      else set(chosen().map((each, place) => (place === at ? [file, next] : each)));
    });
    const made = element("li", {}, element("bdi", { title: file }, name), number);
    if (known?.words) {
      const words = element("button", { type: "button", title: `insert into the prompt: ${visibleText(known.words)}` },
        "+ words");
      words.addEventListener("click", () => insert(known.words));
      made.append(words);
    }
    made.append(iconButton("close", `remove ${name}`, () => set(chosen().filter((_, place) => place !== at))));
    return made;
  };
  const show = () => {
    rows.replaceChildren(...chosen().map(row));
    const left = found.filter((one) => !chosen().some(([file]) => file === one.file));
    choice.replaceChildren(element("option", { value: "" }, left.length ? "choose …" : "none"),
      ...left.map((one) => element("option", { value: one.file, disabled: Boolean(one.error) },
        visibleText(one.error ? `${one.name}: ${one.error}` : one.name))));
    choice.disabled = Boolean(refusal) || !left.length;
    why.textContent = refusal || reasons;
  };
  choice.addEventListener("change", () => {
    const one = found.find((each) => each.file === choice.value);
    if (!one) return;
    set([...chosen(), [one.file, 1]]);
    if (one.words) insert(one.words);
  }, { signal });
  model.on("change:loras", show);
  signal.addEventListener("abort", () => model.off("change:loras", show), { once: true });
  show();
  return {
    node,
    value: chosen,
    receive(message) {
      found = message.loras;
      reasons = visibleText(message.why);
      show();
    },
    refuse(reason) {
      refusal = reason;
      node.classList.toggle("imagen-panel-refused", Boolean(reason));
      show();
    },
  };
};
