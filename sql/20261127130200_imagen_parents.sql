-- What each picture was drawn from, to find what was drawn from one. In a table of its own, and no
-- index of imagen.images: under row-level security PostgreSQL must not use one over a sidecar, as no
-- operator that looks into JSONB is leakproof. Equal texts are.
CREATE TABLE IF NOT EXISTS imagen.parents (
  image_id UUID NOT NULL REFERENCES imagen.images (id) ON DELETE CASCADE,
  parent TEXT NOT NULL, -- the id of a picture, or the sha256 of a file
  how TEXT NOT NULL, -- by which link: init_image, upscaled and so on
  owner_user_id UUID NOT NULL REFERENCES auth.users (id),
  PRIMARY KEY (image_id, parent, how)
);

-- For the question itself, for the policy, and for removing a user.
CREATE INDEX IF NOT EXISTS imagen_parents_owner_idx ON imagen.parents (owner_user_id, parent);

ALTER TABLE imagen.parents ENABLE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS imagen_parents_select ON imagen.parents;

CREATE POLICY imagen_parents_select ON imagen.parents FOR SELECT TO authenticated
  USING (owner_user_id = (SELECT auth.uid()));

-- Nobody writes here: what it says follows from the sidecars.
REVOKE ALL ON TABLE imagen.parents FROM PUBLIC, anon, authenticated, service_role;

GRANT SELECT ON TABLE imagen.parents TO authenticated, service_role;

-- The links that a sidecar names. It may be any JSON, of any program: whatever is no link is left
-- out, and what is longer than an id or a digest too, which no index would take.
CREATE OR REPLACE FUNCTION imagen.links_of(sidecar JSONB)
RETURNS TABLE (parent TEXT, how TEXT)
LANGUAGE sql
IMMUTABLE
SECURITY INVOKER
SET search_path = ''
AS $links$
  SELECT DISTINCT named.parent, left(coalesce(link ->> 'how', link ->> 'name', ''), 100)
  FROM (VALUES ('inputs'), ('derived_from')) AS keys (key),
    jsonb_path_query(sidecar -> key, 'lax $[*] ? (@.type() == "object")') AS one (link),
    LATERAL (VALUES (link ->> 'id'), (link ->> 'sha256')) AS named (parent)
  WHERE length(named.parent) <= 100
$links$;

REVOKE ALL ON FUNCTION imagen.links_of(JSONB) FROM PUBLIC, anon, authenticated, service_role;

-- With the rights of the tables' owner, as nobody else may write to imagen.parents.
CREATE OR REPLACE FUNCTION imagen.keep_parents()
RETURNS TRIGGER
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = ''
AS $keep$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    DELETE FROM imagen.parents WHERE parents.image_id = OLD.id;
  END IF;
  INSERT INTO imagen.parents (image_id, parent, how, owner_user_id)
  SELECT NEW.id, links.parent, links.how, NEW.owner_user_id
  FROM imagen.links_of(NEW.sidecar) AS links;
  RETURN NULL;
END
$keep$;

REVOKE ALL ON FUNCTION imagen.keep_parents() FROM PUBLIC, anon, authenticated, service_role;

DROP TRIGGER IF EXISTS imagen_images_parents ON imagen.images;

CREATE TRIGGER imagen_images_parents
  AFTER INSERT OR UPDATE OF id, owner_user_id, sidecar ON imagen.images
  FOR EACH ROW EXECUTE FUNCTION imagen.keep_parents();

-- Of the pictures that are there already.
INSERT INTO imagen.parents (image_id, parent, how, owner_user_id)
SELECT images.id, links.parent, links.how, images.owner_user_id
FROM imagen.images, imagen.links_of(images.sidecar) AS links
ON CONFLICT (image_id, parent, how) DO NOTHING;

NOTIFY pgrst, 'reload schema';
