-- Finds the caller's pictures whose vectors point where a query does, with the caller's own rights.
-- One row, whatever it finds: the API cuts answers of many rows at 1000. `mean` and `deviation` are
-- of the cosines of a sample of the caller's vectors (by id, which is as good as by lot, and the
-- same each time), so that a cosine can be told as how far above the ordinary it is.
CREATE OR REPLACE FUNCTION imagen.find(
  model TEXT,
  query REAL[],
  count INT DEFAULT 50,
  ids UUID[] DEFAULT NULL, -- only among these, all of which are compared
  owner UUID DEFAULT NULL -- for a secret key, which is nobody's in particular
)
RETURNS TABLE (
  image_ids UUID[], -- best first
  cosines REAL[],
  mean DOUBLE PRECISION,
  deviation DOUBLE PRECISION,
  total BIGINT -- the caller's vectors by this model
)
LANGUAGE plpgsql
STABLE
SECURITY INVOKER
SET search_path = ''
AS $find$
DECLARE
  sample CONSTANT INT := 2000;
  most_compared CONSTANT INT := 10000; -- up to so many vectors all are compared: exact, and fast
  size CONSTANT INT := coalesce(cardinality(query), 0);
  wanted CONSTANT INT := least(greatest(count, 1), 10000);
  caller CONSTANT UUID := coalesce(owner, auth.uid());
  place NAME;
  distance TEXT;
  mine TEXT; -- $1: the query, $2: the model, $3: whose, $4: ids, $5: how many
  nearest TEXT;
  other INT;
BEGIN
  SELECT n.nspname
  INTO place
  FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
  WHERE e.extname = 'vector';
  IF to_regclass('imagen.embeddings') IS NULL OR place IS NULL THEN
    RAISE undefined_table USING MESSAGE = 'relation "imagen.embeddings" does not exist';
  END IF;

  IF NOT EXISTS (SELECT FROM unnest(query) AS component WHERE component <> 0) THEN
    RAISE invalid_parameter_value USING MESSAGE = 'the query has no direction';
  END IF;

  distance := format(
    '(e.embedding::%1$I.halfvec(%2$s)) OPERATOR(%1$I.<=>) $1::%1$I.halfvec(%2$s)', place, size
  );
  mine := format(
    'FROM imagen.embeddings AS e'
    ' WHERE e.owner_user_id = $3 AND e.model = $2 AND e.dimensions = %s',
    size
  );

  EXECUTE 'SELECT count(*) ' || mine INTO total USING query, find.model, caller;
  IF total = 0 THEN
    SELECT e.dimensions
    INTO other
    FROM imagen.embeddings AS e
    WHERE e.owner_user_id = caller AND e.model = find.model
    LIMIT 1;
    IF other IS NOT NULL THEN
      RAISE invalid_parameter_value USING MESSAGE =
        format('the vectors of %s have %s dimensions, the query has %s', find.model, other, size);
    END IF;
    RETURN QUERY SELECT '{}'::UUID[], '{}'::REAL[], NULL::FLOAT8, NULL::FLOAT8, 0::BIGINT;
    RETURN;
  END IF;

  EXECUTE format(
    'SELECT avg(1 - d), stddev_pop(1 - d) FROM (SELECT %s AS d %s ORDER BY e.image_id LIMIT %s) AS s',
    distance, mine, sample
  )
  INTO mean, deviation
  USING query, find.model, caller;

  nearest := 'WITH near AS MATERIALIZED (SELECT e.image_id AS id, %s AS d %s %s)'
    ' SELECT array_agg(id ORDER BY d, id), array_agg((1 - d)::REAL ORDER BY d, id)'
    ' FROM (SELECT id, d FROM near ORDER BY d, id LIMIT $5) AS best';

  -- An index has all owners' vectors: its scan goes on until enough of the caller's are found.
  IF ids IS NULL AND total > most_compared THEN
    PERFORM set_config('hnsw.iterative_scan', 'relaxed_order', TRUE);
    PERFORM set_config('hnsw.max_scan_tuples', '40000', TRUE);
    PERFORM set_config('hnsw.ef_search', least(greatest(4 * wanted, 200), 1000)::TEXT, TRUE);
    EXECUTE format(nearest, distance, mine, format('ORDER BY %s LIMIT $5', distance))
    INTO image_ids, cosines
    USING query, find.model, caller, ids, wanted;
  END IF;

  -- Also where the scan ended before that: the caller has few among very many of others.
  IF coalesce(cardinality(image_ids), 0) < least(wanted, total) THEN
    EXECUTE format(
      nearest, distance, mine, CASE WHEN ids IS NULL THEN '' ELSE 'AND e.image_id = ANY ($4)' END
    )
    INTO image_ids, cosines
    USING query, find.model, caller, ids, wanted;
  END IF;

  image_ids := coalesce(image_ids, '{}');
  cosines := coalesce(cosines, '{}');
  RETURN NEXT;
END
$find$;

REVOKE ALL ON FUNCTION imagen.find(TEXT, REAL[], INT, UUID[], UUID) FROM PUBLIC, anon;

GRANT EXECUTE ON FUNCTION imagen.find(TEXT, REAL[], INT, UUID[], UUID)
  TO authenticated, service_role;

NOTIFY pgrst, 'reload schema';
