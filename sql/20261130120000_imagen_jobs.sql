-- Pictures to be drawn elsewhere: a row is one picture that some machine of the same owner draws.
-- A job's id is its picture's id, so that whoever draws it, and however often, imagen.images takes
-- one row of it.
CREATE TABLE IF NOT EXISTS imagen.jobs (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  owner_user_id UUID NOT NULL DEFAULT auth.uid() REFERENCES auth.users(id),
  request JSONB NOT NULL, -- arguments of imagen_nb's `generate`: prompt, seed, steps, width ...
  backend TEXT, -- what must draw it; NULL: what the worker draws with by itself
  memory_mb INT, -- of the card, that drawing it needs; NULL: not known
  priority INT NOT NULL DEFAULT 0, -- the highest first
  state TEXT NOT NULL DEFAULT 'waiting',
  attempts INT NOT NULL DEFAULT 0, -- how often a worker began to draw it
  max_attempts INT NOT NULL DEFAULT 3,
  worker_id UUID, -- whose it is, or was last
  lease_until TIMESTAMPTZ, -- by the server's clock; then another worker may take it
  progress JSONB, -- {"step": 2, "steps": 4, "seconds_left": 1.5}; NULL until it is begun
  preview TEXT, -- a small WebP, in Base64
  error TEXT,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
  started_at TIMESTAMPTZ,
  finished_at TIMESTAMPTZ,
  CONSTRAINT imagen_jobs_request CHECK (
    jsonb_typeof(request) = 'object'
    AND jsonb_typeof(request -> 'prompt') = 'string'
    AND length(request::text) <= 65536
  ),
  CONSTRAINT imagen_jobs_state CHECK (
    state IN ('waiting', 'drawing', 'done', 'failed', 'cancelled')
  ),
  CONSTRAINT imagen_jobs_attempts CHECK (max_attempts BETWEEN 1 AND 10),
  CONSTRAINT imagen_jobs_preview CHECK (length(preview) <= 14000),
  CONSTRAINT imagen_jobs_error CHECK (length(error) <= 1000)
);

-- What a claim looks at: however many are finished, these indexes hold what is not.
CREATE INDEX IF NOT EXISTS imagen_jobs_waiting_idx
  ON imagen.jobs (owner_user_id, priority DESC, created_at, id)
  WHERE state = 'waiting';

CREATE INDEX IF NOT EXISTS imagen_jobs_drawing_idx
  ON imagen.jobs (owner_user_id, lease_until)
  WHERE state = 'drawing';

-- For lists, newest first, and for pruning.
CREATE INDEX IF NOT EXISTS imagen_jobs_owner_created_idx
  ON imagen.jobs (owner_user_id, created_at DESC, id DESC);

CREATE INDEX IF NOT EXISTS imagen_jobs_finished_idx
  ON imagen.jobs (owner_user_id, finished_at)
  WHERE finished_at IS NOT NULL;

ALTER TABLE imagen.jobs ENABLE ROW LEVEL SECURITY;

-- One policy for each command, so that each can be seen to guard and be changed by itself.
DROP POLICY IF EXISTS imagen_jobs_select ON imagen.jobs;

CREATE POLICY imagen_jobs_select ON imagen.jobs FOR SELECT TO authenticated
  USING (owner_user_id = (SELECT auth.uid()));

DROP POLICY IF EXISTS imagen_jobs_insert ON imagen.jobs;

CREATE POLICY imagen_jobs_insert ON imagen.jobs FOR INSERT TO authenticated
  WITH CHECK (owner_user_id = (SELECT auth.uid()));

DROP POLICY IF EXISTS imagen_jobs_update ON imagen.jobs;

CREATE POLICY imagen_jobs_update ON imagen.jobs FOR UPDATE TO authenticated
  USING (owner_user_id = (SELECT auth.uid()))
  WITH CHECK (owner_user_id = (SELECT auth.uid()));

DROP POLICY IF EXISTS imagen_jobs_delete ON imagen.jobs;

CREATE POLICY imagen_jobs_delete ON imagen.jobs FOR DELETE TO authenticated
  USING (owner_user_id = (SELECT auth.uid()));

REVOKE ALL ON TABLE imagen.jobs FROM PUBLIC, anon, authenticated, service_role;

GRANT SELECT, DELETE ON TABLE imagen.jobs TO authenticated;

GRANT INSERT (id, owner_user_id, request, backend, memory_mb, priority, max_attempts)
  ON TABLE imagen.jobs TO authenticated;

-- What was asked for stays as it was asked.
GRANT UPDATE (
  priority, state, attempts, worker_id, lease_until, progress, preview, error, started_at, finished_at
) ON TABLE imagen.jobs TO authenticated;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE imagen.jobs TO service_role;

NOTIFY pgrst, 'reload schema';
