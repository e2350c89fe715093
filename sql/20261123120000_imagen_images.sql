-- One row for every picture. Other programs read this table: its columns, types and defaults stay.
CREATE SCHEMA IF NOT EXISTS imagen;

CREATE TABLE IF NOT EXISTS imagen.images (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  owner_user_id UUID NOT NULL REFERENCES auth.users(id),
  prompt TEXT NOT NULL,
  prompt_hash TEXT, -- sha256(prompt), hex; joins to mai.imagen_usage
  backend TEXT NOT NULL, -- flux-schnell-local, flux-dev-replicate and so on
  model TEXT,
  seed BIGINT,
  steps INT,
  width INT,
  height INT,
  latency_ms INT,
  cost_usd_estimate NUMERIC(10,6),
  storage_path TEXT NOT NULL, -- in the bucket imagen-generated, without its name
  sidecar JSONB,
  tags TEXT[] DEFAULT '{}',
  created_at TIMESTAMPTZ DEFAULT now()
);

-- The history of one owner, newest first; row-level security filters by owner in any case.
CREATE INDEX IF NOT EXISTS imagen_images_owner_created_idx
  ON imagen.images (owner_user_id, created_at DESC);

CREATE INDEX IF NOT EXISTS imagen_images_backend_idx ON imagen.images (backend);

-- For those who see all rows. Under row-level security PostgreSQL must not use it: @> is not
-- leakproof, so it is checked after the policy, on the rows that the owner's index finds.
CREATE INDEX IF NOT EXISTS imagen_images_tags_idx ON imagen.images USING gin (tags);
