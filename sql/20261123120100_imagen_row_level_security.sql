-- Whoever signs in sees and adds their own rows, and edits their tags (the grants name the column).
-- There is no policy for DELETE: nobody but a secret key removes a row.
-- `(SELECT auth.uid())` is evaluated once per query; `auth.uid()` would be once per row.
ALTER TABLE imagen.images ENABLE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS imagen_images_select ON imagen.images;

CREATE POLICY imagen_images_select ON imagen.images FOR SELECT TO authenticated
  USING (owner_user_id = (SELECT auth.uid()));

-- A row opens the object that it names (see the policies of the bucket). So nobody names a path
-- outside their own folder: they could read a stranger's picture by it.
DROP POLICY IF EXISTS imagen_images_insert ON imagen.images;

CREATE POLICY imagen_images_insert ON imagen.images FOR INSERT TO authenticated
  WITH CHECK (
    owner_user_id = (SELECT auth.uid())
    AND starts_with(storage_path, (SELECT auth.uid())::text || '/')
    AND storage_path !~ '(^|/)[.]{1,2}(/|$)'
  );

DROP POLICY IF EXISTS imagen_images_update ON imagen.images;

CREATE POLICY imagen_images_update ON imagen.images FOR UPDATE TO authenticated
  USING (owner_user_id = (SELECT auth.uid()))
  WITH CHECK (owner_user_id = (SELECT auth.uid()));
