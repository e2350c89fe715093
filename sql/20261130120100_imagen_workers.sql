-- The machines that draw jobs: what they can draw, and when they were last heard of.
CREATE TABLE IF NOT EXISTS imagen.workers (
  id UUID PRIMARY KEY,
  owner_user_id UUID NOT NULL DEFAULT auth.uid() REFERENCES auth.users(id),
  name TEXT NOT NULL, -- as its user calls the machine
  backends TEXT[] NOT NULL,
  memory_mb INT, -- of its card
  version TEXT, -- of imagen_nb
  started_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  seen_at TIMESTAMPTZ NOT NULL DEFAULT now(), -- by the server's clock
  stopped_at TIMESTAMPTZ, -- when it said that it ends
  CONSTRAINT imagen_workers_name CHECK (length(name) <= 200),
  CONSTRAINT imagen_workers_backends CHECK (cardinality(backends) <= 100)
);

CREATE INDEX IF NOT EXISTS imagen_workers_owner_seen_idx
  ON imagen.workers (owner_user_id, seen_at DESC);

ALTER TABLE imagen.workers ENABLE ROW LEVEL SECURITY;

-- One policy for each command, so that each can be seen to guard and be changed by itself.
DROP POLICY IF EXISTS imagen_workers_select ON imagen.workers;

CREATE POLICY imagen_workers_select ON imagen.workers FOR SELECT TO authenticated
  USING (owner_user_id = (SELECT auth.uid()));

DROP POLICY IF EXISTS imagen_workers_insert ON imagen.workers;

CREATE POLICY imagen_workers_insert ON imagen.workers FOR INSERT TO authenticated
  WITH CHECK (owner_user_id = (SELECT auth.uid()));

DROP POLICY IF EXISTS imagen_workers_update ON imagen.workers;

CREATE POLICY imagen_workers_update ON imagen.workers FOR UPDATE TO authenticated
  USING (owner_user_id = (SELECT auth.uid()))
  WITH CHECK (owner_user_id = (SELECT auth.uid()));

DROP POLICY IF EXISTS imagen_workers_delete ON imagen.workers;

CREATE POLICY imagen_workers_delete ON imagen.workers FOR DELETE TO authenticated
  USING (owner_user_id = (SELECT auth.uid()));

REVOKE ALL ON TABLE imagen.workers FROM PUBLIC, anon, authenticated, service_role;

GRANT SELECT, DELETE ON TABLE imagen.workers TO authenticated;

-- When it began is the server's to say.
GRANT INSERT (id, owner_user_id, name, backends, memory_mb, version)
  ON TABLE imagen.workers TO authenticated;

GRANT UPDATE (name, backends, memory_mb, version, seen_at, stopped_at)
  ON TABLE imagen.workers TO authenticated;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE imagen.workers TO service_role;

NOTIFY pgrst, 'reload schema';
