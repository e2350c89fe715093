-- What workers and those who wait do with jobs. All of it runs with the caller's rights: row-level
-- security says whose jobs there are. Times are the server's, so that no machine's clock matters.
-- `owner` is for secret keys, which have no user of their own; for anybody else only their own id
-- finds anything.
--
-- An attempt counts when a worker first tells progress of a job, or what became of it, and not when it
-- claims it: what it has fetched ahead when it dies is not to blame.

-- Claims up to `count` jobs that this worker can draw, for so many seconds. A job whose worker was
-- not heard of in time waits again, unless it was begun too often or its picture is there. `held` is
-- what the worker knows that it has: what it has beside that waits again, as it never got the answer.
CREATE OR REPLACE FUNCTION imagen.claim_jobs(
  worker UUID,
  backends TEXT[],
  memory_mb INT DEFAULT NULL,
  count INT DEFAULT 1,
  lease_seconds INT DEFAULT 60,
  held UUID[] DEFAULT '{}',
  owner UUID DEFAULT NULL
) RETURNS SETOF imagen.jobs
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = '' AS $$
DECLARE
  mine UUID := coalesce(claim_jobs.owner, auth.uid());
BEGIN
  WITH late AS (
    SELECT jobs.id FROM imagen.jobs
    WHERE jobs.owner_user_id = mine AND jobs.state = 'drawing' AND jobs.lease_until < now()
    FOR UPDATE SKIP LOCKED
  ), told AS (
    SELECT
      late.id,
      CASE
        WHEN EXISTS (
          SELECT FROM imagen.images
          WHERE images.id = late.id AND images.owner_user_id = mine
        ) THEN 'done'
        WHEN jobs.attempts >= jobs.max_attempts THEN 'failed'
        ELSE 'waiting'
      END AS state
    FROM late JOIN imagen.jobs ON jobs.id = late.id
  )
  UPDATE imagen.jobs SET
    state = told.state,
    error = CASE told.state
      WHEN 'failed' THEN format('given up: %s workers began and were not heard of again', jobs.attempts)
    END,
    finished_at = CASE told.state WHEN 'waiting' THEN NULL ELSE now() END,
    lease_until = NULL, progress = NULL, preview = NULL
  FROM told WHERE jobs.id = told.id;

  UPDATE imagen.jobs SET
    state = 'waiting', lease_until = NULL, progress = NULL, preview = NULL, started_at = NULL
  WHERE jobs.owner_user_id = mine AND jobs.state = 'drawing'
    AND jobs.worker_id = claim_jobs.worker AND jobs.id <> ALL (claim_jobs.held);

  UPDATE imagen.workers SET seen_at = now()
  WHERE workers.id = claim_jobs.worker AND workers.owner_user_id = mine;

  RETURN QUERY
  WITH next AS (
    SELECT jobs.id FROM imagen.jobs
    WHERE jobs.owner_user_id = mine AND jobs.state = 'waiting'
      AND (jobs.backend IS NULL OR jobs.backend = ANY (claim_jobs.backends))
      AND (jobs.memory_mb IS NULL OR jobs.memory_mb <= coalesce(claim_jobs.memory_mb, 0))
    ORDER BY jobs.priority DESC, jobs.created_at, jobs.id
    LIMIT least(greatest(claim_jobs.count, 0), 100)
    FOR UPDATE SKIP LOCKED
  ), claimed AS (
    UPDATE imagen.jobs SET
      state = 'drawing', worker_id = claim_jobs.worker,
      lease_until = now() + make_interval(secs => least(greatest(claim_jobs.lease_seconds, 1), 3600)),
      started_at = now(), error = NULL
    FROM next WHERE jobs.id = next.id
    RETURNING jobs.*
  )
  SELECT * FROM claimed ORDER BY claimed.priority DESC, claimed.created_at, claimed.id;
END
$$;

-- Prolongs the leases of these jobs and tells how far they are; returns the state of each as it is
-- then, with "lost" for one that another worker has. What is not "drawing" is to be dropped.
CREATE OR REPLACE FUNCTION imagen.renew_jobs(
  worker UUID,
  jobs UUID[],
  lease_seconds INT DEFAULT 60,
  progress JSONB DEFAULT '{}', -- by id: {"step": 2, "steps": 4, "preview": "..."}
  owner UUID DEFAULT NULL
) RETURNS JSONB
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = '' AS $$
DECLARE
  mine UUID := coalesce(renew_jobs.owner, auth.uid());
  told JSONB;
BEGIN
  UPDATE imagen.workers SET seen_at = now()
  WHERE workers.id = renew_jobs.worker AND workers.owner_user_id = mine;

  UPDATE imagen.jobs AS held SET
    lease_until = now() + make_interval(secs => least(greatest(renew_jobs.lease_seconds, 1), 3600)),
    attempts = held.attempts
      + (held.progress IS NULL AND renew_jobs.progress ? held.id::text)::int,
    progress = coalesce((renew_jobs.progress -> held.id::text) - 'preview', held.progress),
    preview = coalesce(renew_jobs.progress -> held.id::text ->> 'preview', held.preview)
  WHERE held.id = ANY (renew_jobs.jobs) AND held.owner_user_id = mine
    AND held.worker_id = renew_jobs.worker AND held.state = 'drawing';

  SELECT coalesce(jsonb_object_agg(
    asked.id,
    CASE
      WHEN held.id IS NULL THEN 'lost'
      WHEN held.state IN ('waiting', 'drawing') AND held.worker_id <> renew_jobs.worker THEN 'lost'
      WHEN held.state = 'waiting' THEN 'lost'
      ELSE held.state
    END
  ), '{}') INTO told
  FROM unnest(renew_jobs.jobs) AS asked (id)
  LEFT JOIN imagen.jobs AS held ON held.id = asked.id AND held.owner_user_id = mine;
  RETURN told;
END
$$;

-- Notes that the pictures of these jobs are in imagen.images; returns those that are. Whoever drew
-- them: a job is done when its picture is there, even if it was cancelled too late.
CREATE OR REPLACE FUNCTION imagen.finish_jobs(
  worker UUID,
  jobs UUID[],
  owner UUID DEFAULT NULL
) RETURNS UUID[]
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = '' AS $$
DECLARE
  mine UUID := coalesce(finish_jobs.owner, auth.uid());
  there UUID[];
BEGIN
  SELECT coalesce(array_agg(images.id), '{}') INTO there FROM imagen.images
  WHERE images.id = ANY (finish_jobs.jobs) AND images.owner_user_id = mine;

  UPDATE imagen.jobs AS held SET
    state = 'done', worker_id = finish_jobs.worker, finished_at = now(), error = NULL,
    attempts = held.attempts + (held.state = 'drawing' AND held.progress IS NULL)::int,
    lease_until = NULL, progress = NULL, preview = NULL
  WHERE held.id = ANY (there) AND held.owner_user_id = mine AND held.state <> 'done';
  RETURN there;
END
$$;

-- The same of one job; returns whether its picture is there.
CREATE OR REPLACE FUNCTION imagen.finish_job(
  worker UUID,
  job UUID,
  owner UUID DEFAULT NULL
) RETURNS BOOLEAN
LANGUAGE sql VOLATILE SECURITY INVOKER SET search_path = '' AS $$
  SELECT finish_job.job = ANY (
    imagen.finish_jobs(finish_job.worker, ARRAY[finish_job.job], finish_job.owner)
  )
$$;

-- Notes why a job could not be drawn, if it is still this worker's; `again` lets it wait for another
-- attempt, as long as it may be tried. Returns its state then, or "lost".
CREATE OR REPLACE FUNCTION imagen.fail_job(
  worker UUID,
  job UUID,
  error TEXT,
  again BOOLEAN DEFAULT false,
  owner UUID DEFAULT NULL
) RETURNS TEXT
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = '' AS $$
DECLARE
  mine UUID := coalesce(fail_job.owner, auth.uid());
  told TEXT;
BEGIN
  UPDATE imagen.jobs SET
    state = CASE WHEN fail_job.again AND jobs.attempts + (jobs.progress IS NULL)::int < jobs.max_attempts
      THEN 'waiting' ELSE 'failed' END,
    finished_at = CASE WHEN fail_job.again AND jobs.attempts + (jobs.progress IS NULL)::int < jobs.max_attempts
      THEN NULL ELSE now() END,
    attempts = jobs.attempts + (jobs.progress IS NULL)::int,
    error = left(fail_job.error, 1000), lease_until = NULL, progress = NULL, preview = NULL
  WHERE jobs.id = fail_job.job AND jobs.owner_user_id = mine
    AND jobs.worker_id = fail_job.worker AND jobs.state = 'drawing'
  RETURNING jobs.state INTO told;
  RETURN coalesce(told, 'lost');
END
$$;

-- Gives jobs back that this worker will not draw after all; that counts as no attempt.
CREATE OR REPLACE FUNCTION imagen.release_jobs(
  worker UUID,
  jobs UUID[],
  owner UUID DEFAULT NULL
) RETURNS INT
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = '' AS $$
DECLARE
  mine UUID := coalesce(release_jobs.owner, auth.uid());
  released INT;
BEGIN
  UPDATE imagen.jobs AS held SET
    state = 'waiting', attempts = held.attempts - (held.progress IS NOT NULL)::int, worker_id = NULL,
    lease_until = NULL, progress = NULL, preview = NULL, started_at = NULL
  WHERE held.id = ANY (release_jobs.jobs) AND held.owner_user_id = mine
    AND held.worker_id = release_jobs.worker AND held.state = 'drawing';
  GET DIAGNOSTICS released = ROW_COUNT;
  RETURN released;
END
$$;

-- Cancels jobs that are not finished, and returns which; their workers hear of it when they renew.
CREATE OR REPLACE FUNCTION imagen.cancel_jobs(
  jobs UUID[],
  owner UUID DEFAULT NULL
) RETURNS UUID[]
LANGUAGE sql VOLATILE SECURITY INVOKER SET search_path = '' AS $$
  WITH cancelled AS (
    UPDATE imagen.jobs AS held SET
      state = 'cancelled', finished_at = now(),
      lease_until = NULL, progress = NULL, preview = NULL
    WHERE held.id = ANY (cancel_jobs.jobs)
      AND held.owner_user_id = coalesce(cancel_jobs.owner, auth.uid())
      AND held.state IN ('waiting', 'drawing')
    RETURNING held.id
  )
  SELECT coalesce(array_agg(cancelled.id), '{}') FROM cancelled
$$;

-- Says that a worker is there, and what it can draw.
CREATE OR REPLACE FUNCTION imagen.register_worker(
  worker UUID,
  name TEXT,
  backends TEXT[],
  memory_mb INT DEFAULT NULL,
  version TEXT DEFAULT NULL,
  owner UUID DEFAULT NULL
) RETURNS VOID
LANGUAGE sql VOLATILE SECURITY INVOKER SET search_path = '' AS $$
  INSERT INTO imagen.workers (id, owner_user_id, name, backends, memory_mb, version)
  VALUES (
    register_worker.worker, coalesce(register_worker.owner, auth.uid()), register_worker.name,
    register_worker.backends, register_worker.memory_mb, register_worker.version
  )
  ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, backends = excluded.backends, memory_mb = excluded.memory_mb,
    version = excluded.version, seen_at = now(), stopped_at = NULL
$$;

-- Says that a worker ends; what it has it gave back before.
CREATE OR REPLACE FUNCTION imagen.stop_worker(
  worker UUID,
  owner UUID DEFAULT NULL
) RETURNS VOID
LANGUAGE sql VOLATILE SECURITY INVOKER SET search_path = '' AS $$
  UPDATE imagen.workers SET seen_at = now(), stopped_at = now()
  WHERE workers.id = stop_worker.worker
    AND workers.owner_user_id = coalesce(stop_worker.owner, auth.uid())
$$;

-- The workers heard of in the last day, the latest first, with the seconds since then.
CREATE OR REPLACE FUNCTION imagen.list_workers(
  owner UUID DEFAULT NULL
) RETURNS JSONB
LANGUAGE sql STABLE SECURITY INVOKER SET search_path = '' AS $$
  SELECT coalesce(jsonb_agg(told.worker ORDER BY told.seen_at DESC), '[]')
  FROM (
    SELECT workers.seen_at, jsonb_build_object(
      'id', workers.id, 'name', workers.name, 'backends', workers.backends,
      'memory_mb', workers.memory_mb, 'version', workers.version,
      'stopped', workers.stopped_at IS NOT NULL,
      'seconds', round(extract(epoch FROM now() - workers.seen_at)::numeric, 1)
    ) AS worker
    FROM imagen.workers
    WHERE workers.owner_user_id = coalesce(list_workers.owner, auth.uid())
      AND workers.seen_at > now() - INTERVAL '1 day'
    ORDER BY workers.seen_at DESC
    LIMIT 100
  ) AS told
$$;

-- Deletes finished jobs that ended so many seconds ago or before, and workers not heard of since;
-- their pictures stay. Returns how many jobs.
CREATE OR REPLACE FUNCTION imagen.prune_jobs(
  older_seconds BIGINT,
  owner UUID DEFAULT NULL
) RETURNS INT
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = '' AS $$
DECLARE
  mine UUID := coalesce(prune_jobs.owner, auth.uid());
  before TIMESTAMPTZ := now() - make_interval(secs => greatest(prune_jobs.older_seconds, 0));
  pruned INT;
BEGIN
  DELETE FROM imagen.jobs
  WHERE jobs.owner_user_id = mine AND jobs.finished_at IS NOT NULL AND jobs.finished_at <= before;
  GET DIAGNOSTICS pruned = ROW_COUNT;

  DELETE FROM imagen.workers
  WHERE workers.owner_user_id = mine AND workers.seen_at <= before;
  RETURN pruned;
END
$$;

REVOKE ALL ON FUNCTION
  imagen.claim_jobs(UUID, TEXT[], INT, INT, INT, UUID[], UUID),
  imagen.renew_jobs(UUID, UUID[], INT, JSONB, UUID),
  imagen.finish_jobs(UUID, UUID[], UUID),
  imagen.finish_job(UUID, UUID, UUID),
  imagen.fail_job(UUID, UUID, TEXT, BOOLEAN, UUID),
  imagen.release_jobs(UUID, UUID[], UUID),
  imagen.cancel_jobs(UUID[], UUID),
  imagen.register_worker(UUID, TEXT, TEXT[], INT, TEXT, UUID),
  imagen.stop_worker(UUID, UUID),
  imagen.list_workers(UUID),
  imagen.prune_jobs(BIGINT, UUID)
  FROM PUBLIC, anon;

GRANT EXECUTE ON FUNCTION
  imagen.claim_jobs(UUID, TEXT[], INT, INT, INT, UUID[], UUID),
  imagen.renew_jobs(UUID, UUID[], INT, JSONB, UUID),
  imagen.finish_jobs(UUID, UUID[], UUID),
  imagen.finish_job(UUID, UUID, UUID),
  imagen.fail_job(UUID, UUID, TEXT, BOOLEAN, UUID),
  imagen.release_jobs(UUID, UUID[], UUID),
  imagen.cancel_jobs(UUID[], UUID),
  imagen.register_worker(UUID, TEXT, TEXT[], INT, TEXT, UUID),
  imagen.stop_worker(UUID, UUID),
  imagen.list_workers(UUID),
  imagen.prune_jobs(BIGINT, UUID)
  TO authenticated, service_role;

NOTIFY pgrst, 'reload schema';
