// What stands in front of Supabase Lite: keys as hosted gateways check them, requests that Lite
// would misread, and answers of Storage that hosted Supabase words otherwise.
import { refusal } from "./storage.mjs";

const STATUS = "/imagen/status"; // the one address that is not Supabase's
const KEYLESS = /^\/storage\/v1\/(object\/(public|sign|upload\/sign)\/|status$)/;
const OBJECT = /^\/storage\/v1\/object\/(?!(?:list|info|sign|public|upload)\/)[^/]+\/(.+)/;
const SAFE_NAME = /^[\w/!.*'() &$@=;:+,?-]+$/; // ASCII: what S3 takes
const LONGEST_BATCH = 1000;
const LONG = /\d{16}/;
// Lite takes {} for JSON, which PGlite cannot send; no array but the empty one is below {""}.
const EMPTY_ARRAY = /(?<==(?:not\.)?)eq\.(?:\{\}|%7B%7D)(?=&|$)/gi;
const BELOW_ALL_OTHERS = "lt.%7B%22%22%7D";
const UNEVEN = "the local Supabase takes missing=default only for rows that have the same columns";
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** Returns a handler of requests, which calls `fetch` for those that Lite can answer. */
export function gate(given, status, fetch) {
  return async (request) => {
    const url = new URL(request.url);
    const early = refusedKey(given, request, url) ?? told(given, status, request, url);
    if (early) return early;
    if (url.pathname.startsWith("/storage/v1/")) return storage(request, url, fetch);
    if (!url.pathname.startsWith("/rest/v1/")) return fetch(request);
    return named(request, url, await rest(request, fetch));
  };
}

function json(status, body) {
  return Response.json(body, { status });
}

/** Storage asks for no key of its own; the gateway before it does. */
function refusedKey({ anon_key, service_key }, request, url) {
  const key = request.headers.get("apikey");
  const keyless = key === null && KEYLESS.test(url.pathname) && request.method !== "POST";
  if (!url.pathname.startsWith("/storage/v1/") || keyless) return null;
  if (key === anon_key || key === service_key) return null;
  if (key === null) return json(401, { message: "No API key found in request" });
  return json(401, { message: "Invalid API key", hint: "Double check your Supabase `apikey`" });
}

function told({ service_key }, status, request, url) {
  if (url.pathname !== STATUS) return null;
  return request.headers.get("apikey") === service_key ? json(200, status) : json(401, {});
}

async function storage(request, url, fetch) {
  const refused = nameTrouble(request, url);
  if (refused) return refused;
  const signing = request.method === "POST" && url.pathname.startsWith("/storage/v1/object/sign/");
  const response = await (signing ? sign(request, fetch) : fetch(request));
  return response.status === 401 ? tokenRefused(await response.json()) : response;
}

function nameTrouble(request, url) {
  const [, name] = url.pathname.match(OBJECT) ?? [];
  if (!name || !["POST", "PUT"].includes(request.method)) return null;
  const plain = decodeURIComponent(name);
  if (SAFE_NAME.test(plain)) return null;
  return json(400, refusal(400, "InvalidKey", `Invalid key: ${plain}`));
}

/** supabase-py sends `expiresIn` as text, which hosted Storage takes and Lite does not. */
async function sign(request, fetch) {
  const { paths, ...body } = await request.json();
  const expiresIn = Number(body.expiresIn);
  if (!(expiresIn >= 1)) return json(400, refusal(400, "Error", "body/expiresIn must be >= 1"));
  if (paths?.length > LONGEST_BATCH) {
    const message = `body/paths must NOT have more than ${LONGEST_BATCH} items`;
    return json(400, refusal(400, "Error", message));
  }
  return fetch(new Request(request, { body: JSON.stringify({ ...body, paths, expiresIn }) }));
}

function tokenRefused(said) {
  if (said.error !== "InvalidJWT") return json(401, said);
  const expired = said.message === "JWT expired";
  const message = expired ? '"exp" claim timestamp check failed' : said.message;
  return json(400, refusal(403, "Unauthorized", message));
}

/** Refuses what Lite would write differently from what was sent. */
async function rest(given, fetch) {
  const request = new Request(given.url.replaceAll(EMPTY_ARRAY, BELOW_ALL_OTHERS), given);
  if (!["POST", "PATCH", "PUT"].includes(request.method)) return fetch(request);
  const text = await request.text();
  const long = LONG.test(text) && text.match(TOKEN)?.find(isRounded);
  if (long) return refused("22003", `${long}: the local Supabase keeps integers up to 2^53-1 only`);
  if (defaultsMissing(request, text)) return refused("PGRST102", UNEVEN);
  return fetch(new Request(request, { body: text }));
}

/** Lite does not say which table is missing. */
async function named(request, url, response) {
  if (response.status !== 404) return response;
  const said = await response.json();
  if (said.code !== "PGRST205") return json(404, said);
  const profile = request.method === "GET" ? "accept-profile" : "content-profile";
  const table = `${request.headers.get(profile) ?? "public"}.${url.pathname.split("/")[3]}`;
  return json(404, { ...said, message: `Could not find the table '${table}' in the schema cache` });
}

function isRounded(token) {
  return /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token));
}

function refused(code, message) {
  return json(400, { code, message, details: null, hint: null });
}

/** Whether columns that only some of the rows have should get their default; Lite gives NULL. */
function defaultsMissing(request, text) {
  if (!request.headers.get("prefer")?.includes("missing=default")) return false;
  const rows = [JSON.parse(text)].flat();
  return new Set(rows.map((row) => Object.keys(row).sort().join())).size > 1;
}
