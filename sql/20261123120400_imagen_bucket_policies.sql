-- Whoever signs in owns the folder named by their id, and nothing else. Without that, strangers
-- could take the path of a picture before it is there, or while it is being uploaded: Storage asks
-- these policies before it has the file, and completes the upload as a superuser.
-- storage.objects is not ours: policies are all that may be made on it (no ALTER, no COMMENT).
DROP POLICY IF EXISTS imagen_generated_insert ON storage.objects;

CREATE POLICY imagen_generated_insert ON storage.objects FOR INSERT TO authenticated
  WITH CHECK (
    objects.bucket_id = 'imagen-generated'
    AND starts_with(objects.name, (SELECT auth.uid())::text || '/')
    AND objects.name !~ '(^|/)[.]{1,2}(/|$)'
  );

-- An upload with x-upsert is an INSERT ... ON CONFLICT DO UPDATE ... RETURNING: it needs this one,
-- and SELECT before any row of imagen.images names the object.
DROP POLICY IF EXISTS imagen_generated_update ON storage.objects;

CREATE POLICY imagen_generated_update ON storage.objects FOR UPDATE TO authenticated
  USING (
    objects.bucket_id = 'imagen-generated'
    AND starts_with(objects.name, (SELECT auth.uid())::text || '/')
  )
  WITH CHECK (
    objects.bucket_id = 'imagen-generated'
    AND starts_with(objects.name, (SELECT auth.uid())::text || '/')
    AND objects.name !~ '(^|/)[.]{1,2}(/|$)'
  );

-- Also what a row of the caller's names: a picture that a secret key uploaded for them lies in no
-- folder of theirs. Only a secret key can have written such a row. `objects.name`, because a bare
-- `name` would be taken for a column of imagen.images if that ever had one.
DROP POLICY IF EXISTS imagen_generated_select ON storage.objects;

CREATE POLICY imagen_generated_select ON storage.objects FOR SELECT TO authenticated
  USING (
    objects.bucket_id = 'imagen-generated'
    AND (
      starts_with(objects.name, (SELECT auth.uid())::text || '/')
      OR objects.name IN (
        SELECT images.storage_path
        FROM imagen.images
        WHERE images.owner_user_id = (SELECT auth.uid())
      )
    )
  );
