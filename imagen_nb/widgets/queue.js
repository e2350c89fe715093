// What waits to be drawn: one line, and folded below it the requests, to be moved and removed.

import { element, visibleText } from "./dom.js";
import { iconButton } from "./icons.js";

/** `send(what, more)` asks the kernel. */
export const makeQueue = (send, signal) => {
  const summary = element("summary");
  const list = element("ol", { "aria-label": "Waiting" });
  const more = element("small");
  const removeAll = element("button", { type: "button", title: "draw nothing of what waits" }, "Remove all");
  removeAll.addEventListener("click", () => send("remove-all"), { signal });
  const node = element("details", { className: "imagen-panel-queue", hidden: true }, summary, list,
    element("div", { className: "imagen-panel-tools" }, removeAll, more));
  let dragged = null;

  const places = () => [...list.children];
  const move = (item, by) => send("move", { id: item.id, by });
  const row = (item) => {
    const title = visibleText(item.title);
    const named = (name, what, act) => {
      const made = iconButton(name, `${what}: ${title}`, act);
      made.dataset.key = `${item.id} ${what}`; // keeps the focus when the list is renewed
      return made;
    };
    const seed = item.seed === null ? "" : ` seed ${item.seed}`;
    const made = element("li", {}, element("span", { className: "imagen-panel-title", dir: "auto", title }, title),
      element("small", {}, item.mine || item.error ? seed : `${seed} from before`));
    made.dataset.id = item.id;
    if (item.error) {
      made.append(element("div", { className: "imagen-panel-failed" }, item.error),
        named("retry", "Retry", () => send("retry", { id: item.id })));
    } else {
      made.draggable = true;
      made.prepend(element("span", { className: "imagen-panel-grip", "aria-hidden": "true" }, "⠿"));
      made.append(named("up", "Earlier", () => move(item, -1)), named("down", "Later", () => move(item, 1)));
      made.addEventListener("dragstart", (event) => {
        dragged = { item, from: places().indexOf(made) };
        event.dataTransfer.effectAllowed = "move";
        event.dataTransfer.setData("text/plain", title);
      });
      made.addEventListener("dragend", () => {
        dragged = null;
        for (const each of places()) each.classList.remove("imagen-panel-over");
      });
    }
    made.append(named("close", "Remove", () => send("remove", { id: item.id })));
    return made;
  };
  const target = (event) => event.target.closest("li");
  list.addEventListener("dragover", (event) => {
    if (!dragged || !target(event)) return;
    event.preventDefault();
    for (const each of places()) each.classList.toggle("imagen-panel-over", each === target(event));
  }, { signal });
  list.addEventListener("drop", (event) => {
    const to = target(event);
    if (!dragged || !to) return;
    event.preventDefault();
    event.stopPropagation();
    const by = places().indexOf(to) - dragged.from;
    if (by) move(dragged.item, by);
  }, { signal });

  const describe = (message, failed) => {
    const parts = message.waiting || !message.resumable ? [`${message.waiting} waiting`] : [];
    if (message.resumable) parts.push(`${message.resumable} from before`);
    if (failed) parts.push(`${failed} failed`);
    if (message.elsewhere) parts.push(`${message.elsewhere} in other panels`);
    if (message.left && message.waiting) parts.push(message.left);
    return parts.join(" · ");
  };
  return {
    node,
    receive(message) {
      const items = message.items.filter((item) => !item.drawing);
      const failed = items.filter((item) => item.error).length;
      node.hidden = !items.length && !message.elsewhere;
      summary.textContent = `Queue: ${describe(message, failed)}`;
      if (failed && failed > Number(node.dataset.failed ?? 0)) node.open = true;
      node.dataset.failed = failed;
      if (dragged) return; // what is held by the mouse stays under it
      const focused = list.querySelector(":focus")?.dataset.key;
      list.replaceChildren(...items.map(row));
      if (focused) [...list.querySelectorAll("button")].find((each) => each.dataset.key === focused)?.focus();
      removeAll.hidden = !items.length;
      more.textContent = message.more ? `and ${message.more} more` : "";
    },
  };
};
