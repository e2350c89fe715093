-- New pictures, and jobs whose state changed, are told to those of their owner who watch: by
-- Supabase Realtime, on the private channel imagen:<owner>. Only ids and the time are told; whoever
-- hears of them asks for the rows, under row-level security. One message for each owner and
-- statement, as messages are counted.
-- Realtime may not be there, and may come later: that is looked at each time. No message is worth a
-- picture: whatever goes wrong here, the row is written.
-- These functions run as who owns them, since nobody who signs in may send to any channel: a right
-- to do so would be one to send whatever they like. Nobody may call them; a trigger asks for no such
-- right. The channel follows from a row that has passed the policies, so that nobody reaches
-- a stranger's.
CREATE OR REPLACE FUNCTION imagen.announce(event TEXT, owner UUID, ids UUID[])
RETURNS VOID
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
  IF to_regprocedure('realtime.send(jsonb,text,text,boolean)') IS NULL THEN
    RETURN;
  END IF;

  PERFORM realtime.send(
    jsonb_build_object(
      'ids', announce.ids[1:100], 'count', cardinality(announce.ids), 'at', now()
    ),
    announce.event,
    'imagen:' || announce.owner,
    true
  );
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'imagen: % not announced: %', announce.event, SQLERRM;
END
$$;

CREATE OR REPLACE FUNCTION imagen.announce_pictures() RETURNS TRIGGER
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
  PERFORM imagen.announce('pictures', added.owner_user_id, array_agg(added.id ORDER BY added.id))
  FROM added
  GROUP BY added.owner_user_id;
  RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION imagen.announce_new_jobs() RETURNS TRIGGER
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
  PERFORM imagen.announce('jobs', added.owner_user_id, array_agg(added.id ORDER BY added.id))
  FROM added
  GROUP BY added.owner_user_id;
  RETURN NULL;
END
$$;

-- Leases that are renewed, progress and previews are changes, too, twice a second: not told.
CREATE OR REPLACE FUNCTION imagen.announce_changed_jobs() RETURNS TRIGGER
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
  PERFORM imagen.announce('jobs', later.owner_user_id, array_agg(later.id ORDER BY later.id))
  FROM earlier JOIN later ON later.id = earlier.id
  WHERE later.state <> earlier.state
  GROUP BY later.owner_user_id;
  RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION
  imagen.announce(TEXT, UUID, UUID[]),
  imagen.announce_pictures(),
  imagen.announce_new_jobs(),
  imagen.announce_changed_jobs()
  FROM PUBLIC, anon, authenticated, service_role;

DROP TRIGGER IF EXISTS imagen_images_announced ON imagen.images;

CREATE TRIGGER imagen_images_announced AFTER INSERT ON imagen.images
  REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION imagen.announce_pictures();

DROP TRIGGER IF EXISTS imagen_jobs_announced ON imagen.jobs;

CREATE TRIGGER imagen_jobs_announced AFTER INSERT ON imagen.jobs
  REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION imagen.announce_new_jobs();

DROP TRIGGER IF EXISTS imagen_jobs_changed ON imagen.jobs;

CREATE TRIGGER imagen_jobs_changed AFTER UPDATE ON imagen.jobs
  REFERENCING OLD TABLE AS earlier NEW TABLE AS later
  FOR EACH STATEMENT EXECUTE FUNCTION imagen.announce_changed_jobs();
