// Scrolls through more pixels than an element can have: Chromium ends at 33.5 million, Firefox at less.

const MAX_HEIGHT = 8_000_000;
const EXACT = 100_000; // pixels at both ends of the scroll bar that are pixels of the rows too

const clamped = (value, least, most) => Math.max(least, Math.min(most, value));

/**
 * `box` scrolls `list`. A jump of the scroll bar goes to the same part of the rows; a wheel's turn goes
 * as far as anywhere. `top` is what the box begins with, in pixels of all rows, and `end` the last such;
 * what is drawn there belongs at `placeOf` it, in pixels of the list.
 */
export const makeScroller = (box, list) => {
  let height = 0; // of all rows, pixels
  let top = 0;
  let seen = 0; // box.scrollTop, when it was last looked at
  let scrolls = 0; // how far the box does; to ask for it lays the page out

  const fits = () => height <= MAX_HEIGHT;
  const room = () => scrolls;
  const end = () => room() + Math.max(0, height - MAX_HEIGHT); // how far there is to scroll
  const ratio = () => (end() - 2 * EXACT) / (room() - 2 * EXACT);

  const topOfBar = (place) => {
    if (fits() || place < EXACT) return place;
    if (room() - place < EXACT) return end() - (room() - place);
    return EXACT + (place - EXACT) * ratio();
  };
  const barOfTop = (value) => {
    if (fits() || value < EXACT) return value;
    if (end() - value < EXACT) return room() - (end() - value);
    return EXACT + (value - EXACT) / ratio();
  };
  const goTo = (value) => {
    top = clamped(value, 0, end());
    box.scrollTop = barOfTop(top);
    seen = box.scrollTop;
  };

  return {
    top: () => top,
    end,
    placeOf: (value) => value - top + seen,
    goTo,
    setHeight: (pixels) => {
      height = pixels;
      list.style.height = `${Math.min(height, MAX_HEIGHT)}px`;
      scrolls = box.scrollHeight - box.clientHeight;
      goTo(top);
    },
    /** To be called for each of the box's events of scrolling. */
    scrolled: () => {
      const moved = box.scrollTop - seen;
      if (!moved) return; // our own
      seen = box.scrollTop;
      const jumped = fits() || Math.abs(moved) > 2 * box.clientHeight;
      top = jumped ? topOfBar(seen) : clamped(top + moved, 0, end());
      const atAnEnd = seen <= 0 || seen >= room() || top <= 0 || top >= end();
      if (atAnEnd && !fits()) goTo(top); // else there may be no way on
    },
  };
};
