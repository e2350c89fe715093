// Thumbnails and facts that the kernel sent, by position: the last ones seen, within bounds.

const MOST = 1500; // of at most 12 kB each

/** What is known of pictures; asks the kernel, by `send`, for what is not. */
export const knownCards = (send, signal) => {
  const cards = new Map();
  let asked = new Set(); // of the last question, what has not come yet
  signal.addEventListener("abort", () => [...cards.values()].forEach(release), { once: true });

  const forget = () => {
    for (const [at, card] of cards) {
      if (cards.size <= MOST) return;
      release(card);
      cards.delete(at);
    }
  };

  return {
    /** A card, which from now on is the one seen last. */
    get: (at) => {
      const card = cards.get(at);
      if (card) {
        cards.delete(at);
        cards.set(at, card);
      }
      return card;
    },
    /** Ask for those of these that are not known; the kernel drops older questions. */
    want: (positions) => {
      const at = positions.filter((position) => !cards.has(position));
      if (at.every((position) => asked.has(position))) return;
      asked = new Set(at);
      send({ kind: "want", at });
    },
    /** Take in a message of cards. */
    take: (told, buffers) => {
      told.at.forEach((at, place) => {
        const old = cards.get(at);
        if (old) release(old);
        cards.set(at, cardOf(told, buffers[place], place));
        asked.delete(at);
      });
      forget();
    },
    /** Other tags than before. */
    retag: (told) => told.at.forEach((at, place) => {
      const card = cards.get(at);
      if (card) cards.set(at, { ...card, tags: told.tags[place] });
    }),
  };
};

const cardOf = (told, buffer, place) => ({
  prompt: told.prompt[place],
  seed: told.seed[place],
  backend: told.backend[place],
  size: told.size[place],
  tags: told.tags[place],
  trouble: told.troubles[place],
  url: buffer.byteLength ? URL.createObjectURL(new Blob([buffer], { type: "image/webp" })) : null,
});

const release = (card) => {
  if (card.url) URL.revokeObjectURL(card.url);
};

/** Whether a tag is a rating; of other programs' `rating:-1` or `rating:1e9` nobody can draw the stars. */
export const isRating = (tag) => /^rating:[1-5]$/.test(tag);

/** Stars of these tags, 0 to 5. */
export const starsOf = (tags) => Number(tags.find(isRating)?.slice(-1) ?? 0);
