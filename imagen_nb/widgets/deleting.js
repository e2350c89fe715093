// Pictures are deleted once somebody says so twice, and come back if they say so within seconds.

import { button, element } from "./dom.js";

/** `send` asks the kernel; `leave` gives the focus back to the pictures. */
export const makeDeleting = (send, leave, signal) => {
  let asked = []; // positions
  let timer = 0;
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  const close = () => {
    question.hidden = true;
    leave();
  };
  const confirm = () => {
    close();
    send({ kind: "delete", at: asked });
  };
  const text = element("span");
  const yes = button("Delete", "Delete them (Enter)", confirm, signal);
  yes.classList.add("imagen-danger");
  const question = element("div", { className: "imagen-line imagen-question", role: "alertdialog", hidden: true }, text, yes,
    button("Cancel", "Delete nothing (Esc)", close, signal));
  question.setAttribute("aria-label", "Delete?");
  question.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    close();
  }, { signal });

  const said = element("span", { role: "status" });
  const undo = () => {
    done.hidden = true;
    send({ kind: "restore" });
    leave();
  };
  const done = element("div", { className: "imagen-line imagen-undo", hidden: true }, said,
    button("Undo", "Bring them back", undo, signal));
  return {
    root: element("div", { className: "imagen-deleting" }, question, done),
    ask: (positions) => {
      if (!positions.length) return;
      asked = positions;
      text.textContent = `Delete ${describe(positions.length)}, here and in the cloud? The trash keeps them for 30 days.`;
      question.hidden = false;
      yes.focus();
    },
    /** For so many seconds it can be undone here. */
    deleted: ({ count, seconds }) => {
      said.textContent = `${describe(count)} deleted`;
      done.hidden = false;
      clearTimeout(timer);
      timer = setTimeout(() => { done.hidden = true; }, seconds * 1000);
    },
  };
};

const describe = (count) => (count === 1 ? "1 picture" : `${count} pictures`);
