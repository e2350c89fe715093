// The widget Compare: asks the kernel for the pictures and shows them.

import { showComparison } from "./comparison.js";
import { blockNotebookKeys, element } from "./dom.js";
import { connect } from "./wire.js";

const render = ({ model, el }) => {
  const controller = new AbortController();
  const root = element("div", { className: "imagen-widget imagen-compare", tabIndex: 0, role: "group", hidden: true });
  root.setAttribute("aria-label", "Comparison of pictures");
  let onKeyDown = () => false;
  const hear = (message, buffers) => {
    root.hidden = false;
    root.classList.add("imagen-live");
    if (message.kind === "trouble") root.replaceChildren(element("p", { role: "alert" }, message.text));
    if (message.kind === "compared" && !root.querySelector("table, p")) onKeyDown = showComparison(root, message, buffers, controller.signal);
  };
  root.addEventListener("keydown", (event) => onKeyDown(event), { signal: controller.signal });
  blockNotebookKeys(root, controller.signal);
  el.append(root);
  const send = connect(model, hear, controller.signal);
  send({ kind: "open" });
  return () => {
    controller.abort();
    send({ kind: "left" });
  };
};

export default { render };
