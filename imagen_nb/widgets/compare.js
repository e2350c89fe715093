// The widget Compare: asks the kernel for the two pictures and shows them.

import { comparison } from "./comparison.js";
import { element, keepKeys } from "./dom.js";

const render = ({ model, el }) => {
  const over = new AbortController();
  const root = element("div", { className: "imagen-widget imagen-compare", tabIndex: 0, role: "group", hidden: true });
  root.setAttribute("aria-label", "Comparison of two pictures");
  let press = () => false;
  const heard = (told, buffers) => {
    root.hidden = false;
    root.classList.add("imagen-live");
    if (told.kind === "trouble") root.replaceChildren(element("p", { role: "alert" }, told.text));
    if (told.kind === "pair" && !root.querySelector("table, p")) press = comparison(root, told, buffers, over.signal);
  };
  root.addEventListener("keydown", (event) => press(event), { signal: over.signal });
  keepKeys(root, over.signal);
  model.on("msg:custom", heard);
  el.append(root);
  model.send({ kind: "open" });
  return () => {
    model.off("msg:custom", heard);
    over.abort();
    model.send({ kind: "left" });
  };
};

export default { render };
