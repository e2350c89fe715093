// Makes the Storage of Supabase Lite answer as the hosted one: for each request, methods of Lite's
// service are replaced, whose results become the answer.
import { takingByKey } from "./turns.mjs";

const UNSIGNED = "Either the object does not exist or you do not have access to it";
const uploads = takingByKey();

/** Returns a middleware for Lite's server. */
export function storageAsHosted(files) {
  return async (context, next) => {
    const { path, method } = context.req;
    if (!path.startsWith("/storage/v1/")) return next();
    const service = context.get("storageService");
    const form = isForm(context.req) ? await context.req.formData() : null; // Lite reads it again
    service.adapter = adapterFor(service, files);
    describing(service);
    listing(service);
    const signs = method === "POST" && path.includes("/object/sign/");
    signing(service, signs ? await context.req.json() : {});
    uploading(service, files, userMetadata(context.req, form), form?.get("cacheControl"));
    downloading(service, files, context.req);
    removing(service, files);
    if (method === "GET" && path.startsWith("/storage/v1/object/sign/")) {
      const trouble = await tokenTrouble(service, context.req.query("token"));
      if (trouble) return context.json(refusal(400, "InvalidJWT", trouble), 400);
    }
    if (method === "PUT" && form) {
      context.req.raw = await unwrapped(context.req.raw, form.get("file"));
    }
    await next();
    partly(context);
  };
}

/** The body of an error: Storage puts the status there, as text. */
export function refusal(status, error, message) {
  return { statusCode: String(status), error, message };
}

function isForm(request) {
  const type = request.header("content-type") ?? "";
  return request.method !== "GET" && type.startsWith("multipart/form-data");
}

/** Lite takes the body of a PUT for the file itself; supabase-py wraps it in a form. */
async function unwrapped({ url, method, headers }, file) {
  const plain = new Headers(headers);
  plain.set("content-type", file.type);
  plain.set("content-length", file.size);
  return new Request(url, { method, headers: plain, body: await file.arrayBuffer() });
}

function userMetadata(request, form) {
  const encoded = request.header("x-metadata");
  const said = form?.get("metadata") ?? (encoded && Buffer.from(encoded, "base64").toString());
  try {
    return said ? JSON.parse(said) : undefined;
  } catch {
    return undefined; // as the hosted one does
  }
}

async function tokenTrouble(service, token) {
  try {
    if (token) await service.verifySignedUrl(token);
    return token ? null : "querystring must have required property 'token'";
  } catch (error) {
    return error.message;
  }
}

function described(row) {
  const { eTag, size, mimetype, cacheControl, lastModified } = row.metadata;
  return {
    id: row.id,
    name: row.name,
    version: row.version,
    bucket_id: row.bucket_id,
    size,
    content_type: mimetype,
    cache_control: cacheControl,
    etag: eTag,
    metadata: row.user_metadata,
    last_modified: lastModified,
    created_at: row.created_at,
  };
}

/** info() with size, etag and the user's own metadata. */
function describing(service) {
  const find = service.info;
  service.info = async (...place) => described(await find.apply(service, place));
}

/** The adapter that Lite's service gets: facts about a file come from its row. */
function adapterFor({ repo }, files) {
  return {
    uploadObject: (...all) => files.uploadObject(...all),
    headObject: async () => ({}),
    copyObject: async (bucket, name) => (await repo.findObjectByPath(bucket, name)).metadata,
    deleteObject: async () => {}, // a row that was moved names the same file
    deleteObjects: async () => {},
  };
}

/** list() of one level: folders without id, and files by the last part of their path. */
function listing(service) {
  const all = service.list;
  service.list = async (bucket, prefix = "", options = {}) => {
    const { limit = 100, offset = 0, search = "", sortBy } = options;
    const start = prefix && !prefix.endsWith("/") ? `${prefix}/` : prefix;
    const rows = await all.call(service, bucket, start, {});
    return level(rows, start, search.toLowerCase())
      .sort(by(sortBy?.column ?? "name", sortBy?.order === "desc" ? -1 : 1))
      .slice(offset, offset + limit);
  };
}

function level(rows, start, search) {
  const entries = new Map();
  for (const row of rows) {
    if (!row.name.startsWith(start)) continue; // LIKE took its _ and % for patterns
    const [name, ...deeper] = row.name.slice(start.length).split("/");
    if (!name.toLowerCase().startsWith(search) || entries.has(name)) continue;
    entries.set(name, deeper.length ? folderEntry(name) : fileEntry(name, row));
  }
  return [...entries.values()];
}

function folderEntry(name) {
  const times = { updated_at: null, created_at: null, last_accessed_at: null };
  return { name, id: null, ...times, metadata: null };
}

function fileEntry(name, { id, updated_at, created_at, last_accessed_at, metadata: all }) {
  const { file, ...metadata } = all;
  return { name, id, updated_at, created_at, last_accessed_at, metadata };
}

function by(column, direction) {
  return (a, b) => direction * (a[column] < b[column] ? -1 : a[column] > b[column] ? 1 : 0);
}

/**
 * Signed URLs: the fields' names, and a path below /storage/v1. A batch reaches Lite's route for
 * one path, which hides its own for batches; it is answered there, by one query.
 */
function signing(service, { paths }) {
  const one = service.createSignedUrl;
  service.createSignedUrl = async (bucket, path, seconds) => {
    if (paths) return batch(service, bucket, paths, seconds);
    const { signedUrl } = await one.call(service, bucket, path, seconds);
    return { signedURL: signedUrl.replace("/storage/v1", "") };
  };
  const upload = service.createSignedUploadUrl;
  service.createSignedUploadUrl = async (...all) => {
    const { signedUrl, token } = await upload.apply(service, all);
    return { url: signedUrl.replace("/storage/v1", ""), token };
  };
}

async function batch(service, bucket, paths, seconds) {
  const seen = await visible(service, bucket, paths);
  return Promise.all(paths.map((path) => signed(service, bucket, path, seconds, seen.has(path))));
}

async function visible(service, bucket, paths) {
  const rows = await asked(service, "query", bucket, paths, ["name"]);
  return new Set(rows.map((row) => row.name));
}

/** Queries or deletes those of these objects that the caller may, in one statement. */
function asked(service, type, bucket, paths, select) {
  const where = { $and: [{ bucket_id: { $eq: bucket } }, { name: { $in: paths } }] };
  return service.access.execute({ type, schema: "storage", from: "objects", select, where });
}

async function signed(service, bucket, path, seconds, seen) {
  if (!seen) return { error: UNSIGNED, path, signedURL: null };
  const token = await service.signStorageToken({ sub: path, bucket, intent: "download" }, seconds);
  return { error: null, path, signedURL: `/object/sign/${bucket}/${path}?token=${token}` };
}

/**
 * Uploads: those to one path one after the other (Lite would answer 500 to the second, and leave
 * its bytes under the first one's row), and with the metadata that came along.
 */
function uploading(service, files, metadata, seconds) {
  const { repo } = service;
  const upload = service.uploadInternal;
  service.uploadInternal = (bucket, path, body, options, ...rest) => {
    const cacheControl = seconds ? `max-age=${seconds}` : options.cacheControl;
    return uploads(`${bucket}/${path}`, () =>
      upload.call(service, bucket, path, body, { ...options, cacheControl }, ...rest));
  };
  // Lite's own would store JSON as one JSON string, in which SQL finds nothing.
  repo.createObject = async (row) => {
    await repo.insertInto("objects").values({ user_metadata: metadata, ...row }).execute();
    return repo.findObjectById(row.id);
  };
  repo.updateObject = async (id, row) => {
    const old = await repo.findObjectById(id);
    const more = row.metadata ? { user_metadata: metadata } : {}; // or it is moved
    const values = { updated_at: new Date().toISOString(), ...more, ...row };
    await repo.update("objects").set(values).where("id", "=", id).execute();
    await forget(repo, files, [old]);
    return repo.findObjectById(id);
  };
}

/** remove() deletes what the caller may, in one statement. */
function removing(service, files) {
  service.remove = async (bucket, paths) => {
    await service.getBucketBypass(bucket); // or it is refused
    const rows = paths.length ? await asked(service, "delete", bucket, paths, ["*"]) : [];
    await forget(service.repo, files, rows);
    return rows;
  };
}

/** Removes the files of rows that are gone; a copy of an object may still name one. */
async function forget(repo, files, rows) {
  const gone = new Set(rows.map((row) => row?.metadata?.file).filter(Boolean));
  if (gone.size === 0) return;
  const named = await repo
    .table("objects")
    .select("metadata")
    .where((column) => column(column.ref("metadata", "->>").key("file"), "in", [...gone]))
    .execute();
  for (const { metadata } of named) gone.delete(metadata.file);
  await Promise.all([...gone].map((file) => files.remove(file)));
}

/** Downloads: etag, size and type from the row; Range and If-None-Match are honoured. */
function downloading(service, files, request) {
  service.downloadObject = async (_bucket, _name, { metadata }) => {
    const range = rangeOf(request.header("range"), metadata.size);
    const told = { ...metadata, lastModified: new Date(metadata.lastModified) };
    if (metadata.eTag === request.header("if-none-match")) return { body: null, metadata: told };
    if (range) {
      told.contentLength = range.end - range.start + 1;
      told.contentRange = `bytes ${range.start}-${range.end}/${metadata.size}`;
    }
    return { body: await files.read(metadata.file, range ?? {}), metadata: told };
  };
}

function rangeOf(said, size) {
  const [, start, end] = said?.match(/^bytes=(\d+)-(\d*)$/) ?? [];
  if (start === undefined || Number(start) >= size) return null;
  return { start: Number(start), end: Math.min(end ? Number(end) : size - 1, size - 1) };
}

/** Sets the status: 206 for a range, 304 for what the client has already. */
function partly(context) {
  const { headers, status } = context.res;
  if (context.req.method !== "GET" || status !== 200) return;
  const known = context.req.header("if-none-match");
  if (known && known === headers.get("etag")) {
    context.res = new Response(null, { status: 304, headers: { etag: known } });
  } else if (headers.has("content-range")) {
    context.res = new Response(context.res.body, { status: 206, headers });
  }
}
