// Thumbnails and facts that the kernel sent, by position: the last ones seen, within bounds.

const LARGEST = 512; // pixels of a thumbnail that the kernel makes, at most
const MAX_CARDS = 1500; // of at most 12 kB each, large ones of 48

/** A cache of what is known of pictures; asks the kernel, by `send`, for what is not, `side()` pixels wide. */
export const makeCardCache = (send, side, signal) => {
  const cards = new Map();
  let requested = new Set(); // of the last question, what has not come yet
  signal.addEventListener("abort", () => [...cards.values()].forEach(release), { once: true });

  const forget = () => {
    for (const [at, card] of cards) {
      if (cards.size <= MAX_CARDS) return;
      release(card);
      cards.delete(at);
    }
  };

  return {
    /** A card, which is from now on the one used last. */
    get: (at) => {
      const card = cards.get(at);
      if (card) {
        cards.delete(at);
        cards.set(at, card);
      }
      return card;
    },
    /** Ask for those of these that are not known; the kernel drops older questions. */
    request: (positions) => {
      const wanted = side();
      const at = positions.filter((position) => !(cards.get(position)?.side >= Math.min(wanted, LARGEST)));
      if (at.every((position) => requested.has(position))) return;
      requested = new Set(at);
      send({ kind: "want", at, side: wanted });
    },
    /** Keep the cards of a message. */
    receive: (message, buffers) => {
      message.at.forEach((at, place) => {
        const old = cards.get(at);
        if (old) release(old);
        cards.set(at, cardFrom(message, buffers[place], place));
        requested.delete(at);
      });
      forget();
    },
    /** Keep the tags of a message. */
    retag: (message) => message.at.forEach((at, place) => {
      const card = cards.get(at);
      if (card) cards.set(at, { ...card, tags: message.tags[place] });
    }),
  };
};

const cardFrom = (message, buffer, place) => ({
  side: message.side,
  prompt: message.prompt[place],
  seed: message.seed[place],
  tags: message.tags[place],
  trouble: message.troubles[place],
  url: buffer.byteLength ? URL.createObjectURL(new Blob([buffer], { type: "image/webp" })) : null,
});

const release = (card) => {
  if (card.url) URL.revokeObjectURL(card.url);
};

/** Whether a tag is a rating; of other programs' `rating:-1` or `rating:1e9` nobody can draw the stars. */
export const isRating = (tag) => /^rating:[1-5]$/.test(tag);

/** Stars of these tags, 0 to 5. */
export const starCount = (tags) => Number(tags.find(isRating)?.slice(-1) ?? 0);
