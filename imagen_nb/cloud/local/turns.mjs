// Work that takes turns.

/**
 * At most `places` pieces of work at a time; the others wait in the order they came.
 *
 * Supabase Lite sends the transactions of concurrent requests over PGlite's one connection without
 * keeping them apart: one request would run under another's role, and be rolled back with it.
 */
export function taking(places) {
  const waiting = [];
  let free = places;
  const next = () => {
    if (free === 0 || waiting.length === 0) return;
    free -= 1;
    waiting.shift()();
  };
  return async (work) => {
    await new Promise((resolve) => {
      waiting.push(resolve);
      next();
    });
    try {
      return await work();
    } finally {
      free += 1;
      next();
    }
  };
}

/** Turns for each key of its own, e.g. for each path. */
export function takingByKey() {
  const lines = new Map();
  return async (key, work) => {
    const line = lines.get(key) ?? { turns: taking(1), users: 0 };
    lines.set(key, line);
    line.users += 1;
    try {
      return await line.turns(work);
    } finally {
      line.users -= 1;
      if (line.users === 0) lines.delete(key);
    }
  };
}
