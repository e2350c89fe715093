// Where the pictures of a grid are: rows of as many as fit, under the headings of their days.

const HEAD_HEIGHT = 30; // pixels

/** The place in `starts`, which ascend, of the last one that is not after `value`. */
const lastNotAfter = (starts, value) => {
  let [low, high] = [0, starts.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle] <= value) low = middle;
    else high = middle - 1;
  }
  return low;
};

/**
 * `days` are [name, count] in order, none for one section without a heading; `count` all pictures; `pitch`
 * pixels from a row to the next. Pictures are named by their index, places are pixels from the top.
 */
export const makeLayout = (days, count, columns, pitch) => {
  const headed = days.length > 0;
  const sections = headed ? days : [["", count]];
  const firsts = [];
  const tops = [];
  let index = 0;
  let height = 0;
  for (const [, size] of sections) {
    firsts.push(index);
    tops.push(height);
    index += size;
    height += (headed ? HEAD_HEIGHT : 0) + Math.ceil(size / columns) * pitch;
  }
  const head = headed ? HEAD_HEIGHT : 0;
  const sectionOf = (at) => lastNotAfter(firsts, at);
  const lastOf = (section) => firsts[section] + sections[section][1] - 1;
  const topOf = (at) => {
    const section = sectionOf(at);
    return tops[section] + head + Math.floor((at - firsts[section]) / columns) * pitch;
  };
  /** The first picture of the row that is at this place, or the next one below. */
  const rowAt = (place) => {
    const section = lastNotAfter(tops, Math.max(0, place));
    const row = Math.max(0, Math.floor((place - tops[section] - head) / pitch));
    return Math.min(firsts[section] + row * columns, lastOf(section) + 1);
  };
  const columnOf = (at) => (at - firsts[sectionOf(at)]) % columns;
  const below = (at) => {
    const section = sectionOf(at);
    if (at + columns <= lastOf(section)) return at + columns;
    const isLastRow = Math.floor((at - firsts[section]) / columns) === Math.floor((lastOf(section) - firsts[section]) / columns);
    if (!isLastRow) return lastOf(section);
    if (section + 1 === sections.length) return at;
    return Math.min(firsts[section + 1] + columnOf(at), lastOf(section + 1));
  };
  const above = (at) => {
    const section = sectionOf(at);
    if (at - columns >= firsts[section]) return at - columns;
    if (section === 0) return at;
    const size = sections[section - 1][1];
    const row = firsts[section - 1] + Math.floor((size - 1) / columns) * columns;
    return Math.min(row + columnOf(at), lastOf(section - 1));
  };
  return {
    height, head, topOf, columnOf, above, below, rowAt,
    /** The sections whose headings are between these places: name, count and top of each. */
    headsBetween: (from, to) => {
      if (!headed) return [];
      const found = [];
      for (let at = lastNotAfter(tops, Math.max(0, from)); at < sections.length && tops[at] < to; at += 1) {
        found.push({ name: sections[at][0], count: sections[at][1], top: tops[at] });
      }
      return found;
    },
    /** All days in order, with their tops. */
    days: headed ? sections.map(([name], at) => ({ name, top: tops[at] })) : [],
    dayAt: (place) => (headed ? sections[lastNotAfter(tops, Math.max(0, place))][0] : ""),
  };
};
