// The image that is drawn from: dropped, pasted, chosen or taken from a picture; and its mask.

import { element } from "./dom.js";
import { iconButton, labelledButton } from "./icons.js";
import { makeMaskEditor } from "./mask.js";

const FILES = "image/png, image/jpeg, image/webp";

/** The kind of data of one of a panel's own pictures that is dragged: its id. */
export const PICTURE_TYPE = "application/x-imagen-picture";

const imageOf = (data) =>
  [...(data?.items ?? [])].find((item) => item.kind === "file" && item.type.startsWith("image/"))?.getAsFile();

/**
 * `upload(name, buffer)` gives the kernel a file, or takes an image away by null; `start(id)` draws from one of
 * its pictures; `refused(text)` says why not.
 */
export const makeImages = (upload, start, refused, signal) => {
  const file = element("input", { type: "file", accept: FILES, hidden: true });
  const picture = element("img", { alt: "the init image" });
  const veil = element("img", { alt: "", className: "imagen-panel-veil", hidden: true });
  const hint = element("div", { className: "imagen-panel-hint" }, "Drop or paste an image here, or ");
  const choose = labelledButton("plus", "Choose a file", "draw from an image (PNG, JPEG or WebP)",
    () => file.click(), signal);
  hint.append(choose);
  const preview = element("div", { className: "imagen-panel-under", hidden: true }, picture, veil);
  const facts = element("small");
  const tools = element("div", { className: "imagen-panel-tools", hidden: true });
  const zone = element("div", { className: "imagen-panel-zone", tabIndex: 0, "aria-label": "Init image" },
    hint, preview, tools, facts);
  zone.setAttribute("role", "group");
  const why = element("small", { className: "imagen-panel-why" });
  const node = element("div", { className: "imagen-panel-field" }, zone, file, why);
  node.dataset.field = "init_image";
  const masking = element("div");
  masking.dataset.field = "mask";
  node.append(masking);

  const now = { init_image: null, mask: null, reason: "", maskReason: "" };
  let editing = null;

  const take = async (given) => {
    if (now.reason) return refused(now.reason);
    if (given) upload("init_image", await given.arrayBuffer());
  };
  const leave = () => {
    editing?.abort();
    editing = null;
    masking.replaceChildren();
    show();
    maskButton.focus();
  };
  const edit = () => {
    editing = new AbortController();
    const under = element("img", { src: picture.src, alt: "" });
    const editor = makeMaskEditor(under, now.init_image, now.mask ? veil : null, (mask) => {
      upload("mask", mask);
      leave();
    }, leave, editing.signal);
    masking.replaceChildren(editor.node);
    zone.hidden = true;
    editor.canvas.focus();
  };
  const maskButton = labelledButton("brush", "Mask", "paint what is drawn anew", edit, signal);
  const unmask = iconButton("erase", "remove the mask", () => upload("mask", null), signal);
  tools.append(maskButton, unmask,
    iconButton("close", "remove the init image", () => upload("init_image", null), signal));

  const show = () => {
    const has = Boolean(now.init_image);
    hint.hidden = has;
    preview.hidden = tools.hidden = !has;
    zone.hidden = Boolean(editing);
    veil.hidden = unmask.hidden = !now.mask;
    maskButton.disabled = Boolean(now.maskReason);
    maskButton.title = now.maskReason || "paint what is drawn anew";
    choose.disabled = Boolean(now.reason);
    why.textContent = now.reason;
    zone.classList.toggle("imagen-panel-refused", Boolean(now.reason));
    facts.textContent = has
      ? `${now.init_image.width} × ${now.init_image.height}${now.mask ? ", with a mask" : ""}` : "";
  };
  file.addEventListener("change", () => {
    take(file.files[0]);
    file.value = "";
  }, { signal });
  show();
  return {
    node,
    has: (name) => Boolean(now[name]),
    /** An image that the kernel has now, or no longer has. */
    receive(message, buffers) {
      const target = message.name === "mask" ? veil : picture;
      if (target.src) URL.revokeObjectURL(target.src);
      now[message.name] = message.width ? { width: message.width, height: message.height } : null;
      if (buffers.length) target.src = URL.createObjectURL(new Blob([buffers[0]]));
      else target.removeAttribute("src");
      if (message.name === "init_image" && editing) leave();
      show();
    },
    refuse(reason, maskReason) {
      Object.assign(now, { reason, maskReason });
      show();
    },
    /** Take what is dropped on, or pasted into, this part of the page, and show that one may. */
    listen(root) {
      root.addEventListener("dragover", (event) => {
        if (!["Files", PICTURE_TYPE].some((type) => event.dataTransfer.types.includes(type))) return;
        event.preventDefault();
        zone.classList.add("imagen-panel-over");
      }, { signal });
      root.addEventListener("dragleave", () => zone.classList.remove("imagen-panel-over"), { signal });
      root.addEventListener("drop", (event) => {
        zone.classList.remove("imagen-panel-over");
        const id = event.dataTransfer.getData(PICTURE_TYPE);
        const given = imageOf(event.dataTransfer);
        if (!id && !given) return;
        event.preventDefault();
        event.stopPropagation();
        if (id) start(id);
        else take(given);
      }, { signal });
      root.addEventListener("paste", (event) => {
        const given = imageOf(event.clipboardData);
        if (!given) return;
        event.preventDefault();
        event.stopPropagation();
        take(given);
      }, { signal });
    },
    release() {
      editing?.abort();
      for (const one of [picture, veil]) if (one.src) URL.revokeObjectURL(one.src);
    },
  };
};
