// Which pictures are selected, by position: a flag for each, as a million are soon selected.

/** `changed` is called with all that are selected after each change that people make. */
export const makeSelection = (changed) => {
  let flags = new Uint8Array(0);
  let size = 0;
  const room = (at) => {
    if (at < flags.length) return;
    const more = new Uint8Array(Math.max(at + 1, flags.length * 2));
    more.set(flags);
    flags = more;
  };
  const put = (at, on) => {
    room(at);
    size += on - flags[at];
    flags[at] = on;
  };
  const positions = () => {
    const all = new Int32Array(size);
    let place = 0;
    for (let at = 0; place < size; at += 1) if (flags[at]) all[place++] = at;
    return all;
  };
  const take = (those) => {
    flags.fill(0);
    size = 0;
    for (const at of those) put(at, 1);
  };
  return {
    has: (at) => flags[at] === 1,
    size: () => size,
    positions,
    /** Take over what another view says. */
    take,
    toggle: (at) => { room(at); put(at, 1 - flags[at]); changed(positions()); },
    only: (those) => { take(those); changed(positions()); },
  };
};
