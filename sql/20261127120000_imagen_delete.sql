-- Whoever signs in removes their own pictures, and nothing else: rows and objects of their folder.
-- What a secret key uploaded for them lies in no folder of theirs, and is removed by a secret key.
-- A claim of a path stays: no other picture comes under the address of a removed one.
GRANT DELETE ON TABLE imagen.images TO authenticated;

DROP POLICY IF EXISTS imagen_images_delete ON imagen.images;

CREATE POLICY imagen_images_delete ON imagen.images FOR DELETE TO authenticated
  USING (
    owner_user_id = (SELECT auth.uid())
    AND starts_with(storage_path, (SELECT auth.uid())::text || '/')
  );

-- storage.objects has the grant from Supabase, and no policy for DELETE until now.
DROP POLICY IF EXISTS imagen_generated_delete ON storage.objects;

CREATE POLICY imagen_generated_delete ON storage.objects FOR DELETE TO authenticated
  USING (
    objects.bucket_id = 'imagen-generated'
    AND starts_with(objects.name, (SELECT auth.uid())::text || '/')
  );
