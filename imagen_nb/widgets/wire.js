// What pages and the kernel say to each other: see base.py.

/**
 * Hear the kernel, until the signal aborts; returns what sends it a message with bytes (typed arrays).
 * The kernel hears at once whether the page is dark: figures follow.
 */
export const connect = (model, hear, signal) => {
  const onMessage = (message, buffers) => hear(message, message.bytes?.map(bytesOf) ?? buffers ?? []);
  model.on("msg:custom", onMessage);
  signal.addEventListener("abort", () => model.off("msg:custom", onMessage), { once: true });
  const send = (message, buffers = []) => {
    if (model.get("_bytes_as_text")) model.send({ ...message, bytes: buffers.map(textOf) });
    else model.send(message, undefined, buffers);
  };
  send({ dark: isDarkPage() });
  return send;
};

const isDarkPage = () => {
  const { classList, dataset } = document.body;
  const marks = [dataset.jpThemeLight === "false", dataset.theme === "dark"];
  return marks.some(Boolean) || ["vscode-dark", "dark", "dark-theme"].some((name) => classList.contains(name));
};

const bytesOf = (text) => new DataView(Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer);

const PIECE = 0x8000; // bytes at once: more arguments than a call may have
const textOf = (bytes) => {
  const view = new Uint8Array(bytes.buffer ?? bytes, bytes.byteOffset ?? 0, bytes.byteLength);
  let text = "";
  for (let at = 0; at < view.length; at += PIECE) text += String.fromCharCode(...view.subarray(at, at + PIECE));
  return btoa(text);
};
