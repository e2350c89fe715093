-- What embedders say of pictures, for finding them by meaning and by look: a table of its own, as
-- imagen.images is read by others. It needs pgvector (halfvec: 0.7, iterative scans: 0.8). Where that
-- is not to be had all else works, and `imagen db migrate` calls this again until the table is there.
CREATE OR REPLACE FUNCTION imagen.make_embeddings()
RETURNS TEXT -- NULL, or why there is no table
LANGUAGE plpgsql
SECURITY INVOKER
SET search_path = ''
AS $make$
DECLARE
  trouble TEXT := 'it is not installed';
  version TEXT;
  place NAME; -- the schema it is in: a user may have made it elsewhere
  size INT;
BEGIN
  IF to_regclass('imagen.embeddings') IS NOT NULL THEN
    RETURN NULL;
  END IF;

  BEGIN
    IF to_regnamespace('extensions') IS NULL THEN
      CREATE SCHEMA extensions; -- hosted Supabase has it, with these grants
      GRANT USAGE ON SCHEMA extensions TO anon, authenticated, service_role;
    END IF;
    CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA extensions;
  EXCEPTION WHEN OTHERS THEN -- whatever the server has against it, the rest of the schema is made
    trouble := SQLERRM;
  END;

  SELECT e.extversion, n.nspname
  INTO version, place
  FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
  WHERE e.extname = 'vector';
  IF version IS NOT NULL THEN
    trouble := format('it is of version %s, update it: ALTER EXTENSION vector UPDATE', version);
  END IF;
  IF version IS NULL OR string_to_array(version, '.')::INT[] < '{0,8}' THEN
    trouble := format('search in the cloud needs pgvector 0.8 (%s)', trouble);
    RAISE WARNING '%: then `imagen db migrate` again; all else works without', trouble;
    RETURN trouble;
  END IF;

  PERFORM set_config('search_path', quote_ident(place), TRUE); -- until this function returns

  CREATE TABLE imagen.embeddings (
    image_id UUID NOT NULL REFERENCES imagen.images (id) ON DELETE CASCADE,
    owner_user_id UUID NOT NULL REFERENCES auth.users (id),
    model TEXT NOT NULL, -- the embedder's
    dimensions INT NOT NULL GENERATED ALWAYS AS (vector_dims(embedding)) STORED,
    embedding HALFVEC NOT NULL CHECK (l2_norm(embedding) > 0), -- a direction, to have a cosine
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (image_id, model)
  );

  -- For the policies, for removing a user, and to count and read one owner's vectors by a model.
  CREATE INDEX imagen_embeddings_owner_idx
    ON imagen.embeddings (owner_user_id, model, dimensions, image_id);

  -- HNSW needs to know the dimensions, and whoever signs in makes no index for a new model. So one
  -- for each usual number; the model is a filter of the scan. Others are searched row by row.
  FOREACH size IN ARRAY '{256, 384, 512, 640, 768, 1024, 1152, 1280, 1536}'::INT[] LOOP
    EXECUTE format(
      'CREATE INDEX imagen_embeddings_%1$s_idx ON imagen.embeddings'
      ' USING hnsw ((embedding::halfvec(%1$s)) halfvec_cosine_ops) WHERE dimensions = %1$s',
      size
    );
  END LOOP;

  ALTER TABLE imagen.embeddings ENABLE ROW LEVEL SECURITY;

  CREATE POLICY imagen_embeddings_select ON imagen.embeddings FOR SELECT TO authenticated
    USING (owner_user_id = (SELECT auth.uid()));

  -- Of the caller's own pictures only: nobody says what a stranger's looks like, nor learns its id.
  CREATE POLICY imagen_embeddings_insert ON imagen.embeddings FOR INSERT TO authenticated
    WITH CHECK (
      owner_user_id = (SELECT auth.uid())
      AND EXISTS (
        SELECT FROM imagen.images
        WHERE images.id = image_id AND images.owner_user_id = (SELECT auth.uid())
      )
    );

  CREATE POLICY imagen_embeddings_update ON imagen.embeddings FOR UPDATE TO authenticated
    USING (owner_user_id = (SELECT auth.uid()))
    WITH CHECK (owner_user_id = (SELECT auth.uid()));

  CREATE POLICY imagen_embeddings_delete ON imagen.embeddings FOR DELETE TO authenticated
    USING (owner_user_id = (SELECT auth.uid()));

  REVOKE ALL ON TABLE imagen.embeddings FROM PUBLIC, anon, authenticated, service_role;
  GRANT SELECT, INSERT, DELETE ON TABLE imagen.embeddings TO authenticated;
  GRANT UPDATE (embedding) ON TABLE imagen.embeddings TO authenticated; -- computed anew, no more
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE imagen.embeddings TO service_role;

  NOTIFY pgrst, 'reload schema';
  RETURN NULL;
END
$make$;

-- The API shows the schema's functions too: this one is for who migrates.
REVOKE ALL ON FUNCTION imagen.make_embeddings() FROM PUBLIC, anon, authenticated, service_role;

SELECT imagen.make_embeddings();
