// The database below the local Supabase: PGlite in a folder, or a real PostgreSQL by its URL.
import { join } from "node:path";

const TIMESTAMP = { timestamp: 1114, timestamptz: 1184 }; // PostgreSQL's numbers of these types

// What hosted Supabase has before any migration of the user's.
const ROLES = `
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'anon') THEN
    CREATE ROLE anon NOLOGIN NOINHERIT;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticated') THEN
    CREATE ROLE authenticated NOLOGIN NOINHERIT;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
    CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticator') THEN
    CREATE ROLE authenticator NOLOGIN NOINHERIT;
    GRANT anon, authenticated, service_role TO authenticator;
    ALTER ROLE authenticator SET pgrst.db_schemas = 'public';
  END IF;
END $$`;
const GRANTS = `
GRANT USAGE ON SCHEMA public, auth, storage TO anon, authenticated, service_role;
GRANT ALL ON ALL TABLES IN SCHEMA storage TO anon, authenticated, service_role`;
const HOSTED = `
SELECT to_regclass('auth.schema_migrations') IS NOT NULL
  OR to_regclass('storage.migrations') IS NOT NULL AS hosted`;
// What PostgREST and Storage set in a transaction about the caller; Lite takes six statements.
const CONTEXT = `
SELECT set_config('role', $1, true), set_config('request.jwt.claim.role', $1, true),
  set_config('request.jwt.claim.sub', $2, true), set_config('request.jwt.claims', $3, true),
  set_config('storage.operation', $4, true)`;
const USER = "SELECT id, encrypted_password FROM auth.users WHERE email = $1";
const SCHEMAS = `
SELECT split_part(entry, '=', 2) AS listed
FROM pg_db_role_setting, unnest(setconfig) AS entry
WHERE setrole = (SELECT oid FROM pg_roles WHERE rolname = 'authenticator')
  AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
  AND starts_with(entry, 'pgrst.db_schemas=')
ORDER BY setdatabase DESC
LIMIT 1`;

// The table of vectors, where pgvector could not be had when its migration was applied.
const EMBEDDINGS = "SELECT imagen.make_embeddings()";

/** As PostgREST and Auth write times: 2026-05-11T08:00:00.123456+00:00. */
function standard(time) {
  return time.replace(" ", "T").replace(/([+-]\d\d)$/, "$1:00");
}

/** Returns Lite's connection to the database. */
export async function connected({ database_url: url, folder }, load) {
  const dist = "@supabase/lite/dist/db/postgres";
  if (url) {
    const { createPostgresConnection } = await load(`${dist}/PostgresConnection.js`);
    const types = Object.fromEntries(
      Object.entries(TIMESTAMP).map(([name, type]) =>
        [name, { to: type, from: [type], serialize: String, parse: standard }]),
    );
    const postgresOptions = { types, onnotice: () => {} };
    return quickened(createPostgresConnection({ url, postgresOptions }), load);
  }
  const { createPgliteConnection } = await load(`${dist}/pglite/PgliteConnection.js`);
  const { vector } = await load("@electric-sql/pglite/dist/vector/index.js");
  const parsers = Object.fromEntries(Object.values(TIMESTAMP).map((type) => [type, standard]));
  const place = join(folder, "database");
  const pgliteOptions = { parsers, extensions: { vector } };
  return quickened(await createPgliteConnection({ url: place, pgliteOptions }), load);
}

/** Sets the caller in one statement for each transaction. */
async function quickened(connection, load) {
  const { CompiledQuery } = await load("kysely/dist/esm/index.js");
  connection.applyJwtSessionContext = async (transaction, { auth, storage }) => {
    const claims = JSON.stringify(auth?.jwt ?? {});
    const told = [auth?.role || "anon", auth?.uid ?? "", claims, storage?.operation ?? ""];
    await transaction.executeQuery(CompiledQuery.raw(CONTEXT, told.map(String)));
  };
  return connection;
}

/** Brings the database up to date; returns the schemas that the API exposes. */
export async function prepared(app, connection, migrations) {
  await app.init();
  const [{ hosted }] = await rows(connection, HOSTED);
  if (hosted) {
    throw new Error("the database is a Supabase already: configure its own URL and key instead");
  }
  await rows(connection, ROLES);
  await app.ensureSystemSchema();
  await rows(connection, GRANTS);
  for (const migration of migrations) await applied(connection, migration);
  await rows(connection, EMBEDDINGS);
  // Lite would now grant every table to every role, which undoes the grants of the migrations.
  connection.rlsState = "active";
  await connection.clearSchemaCache();
  const [setting] = await rows(connection, SCHEMAS);
  return (setting?.listed ?? "public").split(",").map((schema) => schema.trim());
}

/** The rows of the last statement. Only while nobody else uses the connection. */
async function rows(connection, sql, parameters) {
  const { driver } = connection;
  if (driver.unsafe) return driver.unsafe(sql, parameters);
  if (parameters) return (await driver.query(sql, parameters)).rows;
  return (await driver.exec(sql)).at(-1).rows;
}

/** One migration and its record, in one transaction, unless it is recorded already. */
async function applied(connection, { version, name, statements }) {
  const table = "supabase_migrations.schema_migrations";
  const recorded = `SELECT version FROM ${table} WHERE version = $1`;
  if ((await rows(connection, recorded, [version])).length > 0) return;
  const work = async (run) => {
    for (const statement of statements) await run(statement);
    const record = `INSERT INTO ${table} (version, name, statements) VALUES ($1, $2, $3)`;
    await run(record, [version, name, statements]);
  };
  try {
    await atomically(connection.driver, work);
  } catch (error) {
    throw new Error(`the migration ${version}_${name} failed: ${error.message}`);
  }
}

function atomically(driver, work) {
  if (driver.begin) {
    return driver.begin((sql) => work((text, parameters) => sql.unsafe(text, parameters)));
  }
  return driver.transaction((sql) =>
    work((text, parameters) => (parameters ? sql.query(text, parameters) : sql.exec(text))));
}

/** Returns the id of the user with this e-mail and password, who is signed up if need be. */
export async function userOf(app, connection, given, load) {
  const { email, password } = given;
  const [user] = await rows(connection, USER, [email]);
  if (!user) return (await signUp(app, given)).user.id;
  const { default: bcrypt } = await load("bcryptjs/index.js");
  if (!(await bcrypt.compare(password, user.encrypted_password))) { // the keys were made anew
    const hash = await bcrypt.hash(password, 10);
    await rows(connection, "UPDATE auth.users SET encrypted_password = $1 WHERE id = $2", [
      hash,
      user.id,
    ]);
  }
  return user.id;
}

async function signUp(app, { email, password, anon_key: apikey }) {
  const response = await app.fetch(new Request("http://localhost/auth/v1/signup", {
    method: "POST",
    headers: { apikey, "content-type": "application/json" },
    body: JSON.stringify({ email, password }),
  }));
  if (!response.ok) throw new Error(`the user cannot be made: ${await response.text()}`);
  return response.json();
}
