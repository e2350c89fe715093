// The local Supabase: Supabase Lite behind one HTTP server on the loopback address.
// Started by server.py, which writes one JSON object to stdin. It ends on SIGTERM and, with
// `with_parent`, when the process that started it does.
import { createServer } from "node:http";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { buffer, text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

import { connected, prepared, userOf } from "./database.mjs";
import { gate } from "./gate.mjs";
import { ObjectFiles } from "./objects.mjs";
import { storageAsHosted } from "./storage.mjs";
import { taking } from "./turns.mjs";

const IDLE_MS = 75_000; // as hosted gateways; Node's 5 s would cut connections that clients reuse
const GRACE_MS = 3_000; // for answers under way when the server is told to stop
const MAX_ROWS = 1000; // of one answer, as on hosted Supabase

const given = JSON.parse(await text(process.stdin));
process.env.EXPERIMENTAL_STORAGE = "1"; // Lite's switch for its Storage; read when it is imported
process.umask(0o077); // pictures and database are the user's own

// Lite logs failed statements with all their values, which are the user's own.
console.error = (...said) => {
  console.info(said.map((part) => part?.message ?? part).join(" ").split("\n")[0]);
};

const load = (path) =>
  import(pathToFileURL(join(given.installed, "node_modules", path)).href);

async function started() {
  const { App } = await load("@supabase/lite/dist/index.js");
  const connection = await connected(given, load);
  const files = new ObjectFiles(join(given.folder, "objects"));
  const app = new App({
    connection,
    api: { schemas: ["public"], max_rows: MAX_ROWS },
    auth: {
      enabled: true,
      jwt_secret: given.jwt_secret,
      jwt_expiry: given.session_seconds,
      publishable_key: given.anon_key,
      secret_key: given.service_key,
    },
    storage: { enabled: true },
    studio: { enabled: false },
    options: {
      // Without admin mode: it would let requests without a key pass every policy.
      server: { admin: false, disableStudio: true, middlewares: [storageAsHosted(files)] },
    },
  });
  app._storageAdapter = files;
  app.config.api.schemas = await prepared(app, connection, given.migrations);
  await files.sweep(connection);
  const user = await userOf(app, connection, given, load);
  return { app, connection, status: { pid: process.pid, user_id: user } };
}

/** Node's request as a web Request. The body is read first: no client holds up its turn. */
async function requestOf(incoming) {
  const { method, url, headers } = incoming;
  const bare = method === "GET" || method === "HEAD";
  const body = bare ? undefined : await buffer(incoming);
  return new Request(`http://${headers.host ?? "localhost"}${url}`, { method, headers, body });
}

async function answer(incoming, outgoing, respond) {
  try {
    const response = await respond(await requestOf(incoming));
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    if (response.body) await pipeline(Readable.fromWeb(response.body), outgoing);
    else outgoing.end();
  } catch (error) {
    if (incoming.errored || outgoing.destroyed) return; // the client is gone
    console.info(error);
    if (outgoing.headersSent) return outgoing.destroy();
    outgoing.writeHead(500, { "content-type": "application/json" });
    outgoing.end('{"message":"the local Supabase failed; its server.log says why"}');
  }
}

function listening(respond) {
  const server = createServer((incoming, outgoing) => answer(incoming, outgoing, respond));
  server.keepAliveTimeout = IDLE_MS;
  server.headersTimeout = IDLE_MS + 1000;
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(given.port, "127.0.0.1", () => resolve(server));
  });
}

/** Answers what is under way, then closes the database, then ends. */
function stopper(server, connection) {
  let stopping = false;
  return async () => {
    if (stopping) return;
    stopping = true;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeIdleConnections();
    setTimeout(() => server.closeAllConnections(), GRACE_MS).unref();
    await closed;
    await connection.close();
    process.exit(0);
  };
}

function stopWithParent(stop) {
  const parent = process.ppid;
  setInterval(() => process.ppid === parent || stop(), 500).unref();
}

try {
  const { app, connection, status } = await started();
  const turns = taking(given.database_url ? Infinity : 1); // PGlite is one connection
  const fetch = (request) => turns(() => app.fetch(request));
  const server = await listening(gate(given, status, fetch));
  const stop = stopper(server, connection);
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, stop);
  if (given.with_parent) stopWithParent(stop);
} catch (error) {
  console.info(error);
  const why = error.message?.split("\n")[0] || error.code || error;
  console.info(`imagen: ${why}`); // server.py reads it
  process.exit(1);
}
