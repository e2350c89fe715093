// Makes an empty PGlite database, once per installation: initdb takes seconds and much memory,
// and a copy of its files takes neither. Arguments: where it is installed, where to make it.
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [installed, folder] = process.argv.slice(2);
const pglite = join(installed, "node_modules/@electric-sql/pglite/dist/index.js");
const { PGlite } = await import(pathToFileURL(pglite).href);
const database = await PGlite.create(folder);
await database.close();
process.exit(0); // PGlite leaves handles open
