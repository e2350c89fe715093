-- Who may do what at all; which rows, the policies say. A viewer edits tags and nothing else.
GRANT USAGE ON SCHEMA imagen TO anon, authenticated, service_role;

-- First nothing, so that what was granted before (by hand, or by default) does not stay.
REVOKE ALL ON TABLE imagen.images FROM PUBLIC, anon, authenticated, service_role;

GRANT SELECT, INSERT ON TABLE imagen.images TO authenticated;

GRANT UPDATE (tags) ON TABLE imagen.images TO authenticated;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE imagen.images TO service_role;

-- Later tables of the schema likewise; UPDATE is granted by column, which defaults cannot say.
ALTER DEFAULT PRIVILEGES IN SCHEMA imagen GRANT SELECT, INSERT ON TABLES TO authenticated;

ALTER DEFAULT PRIVILEGES IN SCHEMA imagen
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO service_role;
