-- The API shows the schemas that PostgREST finds in pgrst.db_schemas, a setting of the role it signs
-- in with: `imagen` is appended to what stands there. This database's own value counts before the
-- one for all databases, as it does for PostgREST.
-- Where it is not set, PostgREST goes by its own file, which no SQL can read: hosted Supabase has
-- public and graphql_public there, and a schema that does not exist would stop the whole API.
DO $expose$
DECLARE
  listed TEXT;
  place TEXT := '';
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticator') THEN
    RAISE NOTICE 'no role authenticator: expose the schema imagen in the settings of the API';
    RETURN;
  END IF;

  SELECT
    substr(entry, length('pgrst.db_schemas=') + 1),
    CASE WHEN setdatabase = 0 THEN '' ELSE format('IN DATABASE %I', current_database()) END
  INTO listed, place
  FROM pg_db_role_setting, unnest(setconfig) AS entry
  WHERE setrole = (SELECT oid FROM pg_roles WHERE rolname = 'authenticator')
    AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    AND starts_with(entry, 'pgrst.db_schemas=')
  ORDER BY setdatabase DESC
  LIMIT 1;

  listed := rtrim(coalesce(listed, ''), ', ');
  IF 'imagen' = ANY (SELECT btrim(part) FROM regexp_split_to_table(listed, ',') AS part) THEN
    RETURN;
  END IF;

  IF listed = '' THEN
    SELECT coalesce(string_agg(usual, ', ' ORDER BY place_in_list), '')
    INTO listed
    FROM unnest(ARRAY['public', 'graphql_public']) WITH ORDINALITY AS u (usual, place_in_list)
    WHERE usual IN (SELECT nspname FROM pg_namespace);
    RAISE WARNING 'the API now shows the schemas %, imagen: if it showed others (dashboard: Data API; '
      'self-hosted: PGRST_DB_SCHEMAS), add them: ALTER ROLE authenticator SET pgrst.db_schemas', listed;
  END IF;

  EXECUTE format(
    'ALTER ROLE authenticator %s SET pgrst.db_schemas = %L',
    coalesce(place, ''),
    concat_ws(', ', nullif(listed, ''), 'imagen')
  );
END
$expose$;

NOTIFY pgrst, 'reload config';

NOTIFY pgrst, 'reload schema';
