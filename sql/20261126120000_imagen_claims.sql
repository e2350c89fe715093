-- Whose each path in the bucket is, said before the upload: Storage looks for an object before it
-- has the new one's bytes, so of two machines of one user that upload to one path at the same time,
-- the last would win and neither be told. A primary key keeps them apart.
CREATE TABLE IF NOT EXISTS imagen.claims (
  storage_path TEXT PRIMARY KEY, -- in the bucket imagen-generated, without its name
  image_id UUID NOT NULL, -- of the picture, whose row comes after its object
  owner_user_id UUID NOT NULL REFERENCES auth.users(id),
  claimed_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- For the policy, and for removing a user.
CREATE INDEX IF NOT EXISTS imagen_claims_owner_idx ON imagen.claims (owner_user_id);

-- Whoever signs in sees and adds their own, within their own folder. No policy for UPDATE or DELETE:
-- a path that was claimed stays its picture's, whatever became of the upload.
ALTER TABLE imagen.claims ENABLE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS imagen_claims_select ON imagen.claims;

CREATE POLICY imagen_claims_select ON imagen.claims FOR SELECT TO authenticated
  USING (owner_user_id = (SELECT auth.uid()));

-- As the rows of imagen.images: nobody takes a path outside their own folder from its owner.
DROP POLICY IF EXISTS imagen_claims_insert ON imagen.claims;

CREATE POLICY imagen_claims_insert ON imagen.claims FOR INSERT TO authenticated
  WITH CHECK (
    owner_user_id = (SELECT auth.uid())
    AND starts_with(storage_path, (SELECT auth.uid())::text || '/')
    AND storage_path !~ '(^|/)[.]{1,2}(/|$)'
  );

REVOKE ALL ON TABLE imagen.claims FROM PUBLIC, anon, authenticated, service_role;

GRANT SELECT, INSERT ON TABLE imagen.claims TO authenticated;

GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE imagen.claims TO service_role;

-- What went up before there were claims is its pictures'; of two rows with one path, the older one's.
INSERT INTO imagen.claims (storage_path, image_id, owner_user_id)
SELECT storage_path, id, owner_user_id
FROM imagen.images
ORDER BY created_at, id
ON CONFLICT (storage_path) DO NOTHING;

NOTIFY pgrst, 'reload schema';
