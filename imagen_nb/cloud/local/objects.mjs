// The bytes of the objects: one file for every upload, never overwritten. The row in
// storage.objects names its file (`metadata.file`), so an upload that dies leaves the old object.
import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";

/** The folder that holds them. */
export class ObjectFiles {
  constructor(folder) {
    this.folder = folder;
  }

  #path(file) {
    return join(this.folder, file);
  }

  async uploadObject(_bucket, _name, _version, body, mimetype, cacheControl) {
    const data = new Uint8Array(await new Response(body).arrayBuffer());
    const file = randomUUID();
    await writeFile(this.#path(file), data);
    const eTag = `"${createHash("md5").update(data).digest("hex")}"`;
    const size = data.length;
    const lastModified = new Date();
    return { file, eTag, size, contentLength: size, mimetype, cacheControl, lastModified };
  }

  /** The bytes of a file, or those from `start` to `end`, both included. */
  async read(file, range) {
    const opened = await open(this.#path(file));
    return Readable.toWeb(opened.createReadStream(range)); // which closes it
  }

  remove(file) {
    return rm(this.#path(file), { force: true });
  }

  /** At the start: removes the files that no row names, left over when the server was killed. */
  async sweep(connection) {
    await mkdir(this.folder, { recursive: true });
    const files = await readdir(this.folder);
    if (files.length === 0) return;
    const objects = connection.kysely.withSchema("storage").selectFrom("objects");
    const rows = await objects.select("metadata").execute();
    const named = new Set(rows.map((row) => row.metadata?.file));
    const lost = files.filter((file) => !named.has(file));
    await Promise.all(lost.map((file) => this.remove(file)));
  }
}
