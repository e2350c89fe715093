"""The migrations: exact columns and indexes, safe to run twice, a schema that the API shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Json

from imagen_nb.cloud.migrate import apply_migrations, load_migrations
from imagen_nb.storage.record import IMAGES_COLUMNS, Record
from tests.fixtures.postgres import (
    MIGRATED,
    OWNER,
    Database,
    database_fixture,  # noqa: F401
    each_version,
    fresh_database,
)

SCHEMAS = "pgrst.db_schemas"


@pytest.fixture(scope="module")
def migrated() -> Iterator[psycopg.Connection]:
    """As the superuser; what a test changes it undoes."""
    with fresh_database(MIGRATED) as database, database.connect() as connection:
        yield connection


def test_the_table_has_exactly_these_columns(migrated: psycopg.Connection) -> None:
    found = migrated.execute(
        """
        SELECT attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attrelid = 'imagen.images'::regclass AND attnum > 0 ORDER BY attnum
        """
    ).fetchall()
    assert found == [
        ("id", "uuid", True, "gen_random_uuid()"),
        ("owner_user_id", "uuid", True, None),
        ("prompt", "text", True, None),
        ("prompt_hash", "text", False, None),
        ("backend", "text", True, None),
        ("model", "text", False, None),
        ("seed", "bigint", False, None),
        ("steps", "integer", False, None),
        ("width", "integer", False, None),
        ("height", "integer", False, None),
        ("latency_ms", "integer", False, None),
        ("cost_usd_estimate", "numeric(10,6)", False, None),
        ("storage_path", "text", True, None),
        ("sidecar", "jsonb", False, None),
        ("tags", "text[]", False, "'{}'::text[]"),
        ("created_at", "timestamp with time zone", False, "now()"),
    ]
    assert tuple(name for name, *_ in found) == IMAGES_COLUMNS


def test_the_tables_have_exactly_these_indexes_and_keys(migrated: psycopg.Connection) -> None:
    indexes = migrated.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'imagen'"
    ).fetchall()
    keys = migrated.execute(
        """
        SELECT pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'imagen'::regnamespace AND contype <> 'n' ORDER BY 1
        """
    ).fetchall()
    assert {name: definition.partition(" USING ")[2] for name, definition in indexes} == {
        "images_pkey": "btree (id)",
        "imagen_images_owner_created_idx": "btree (owner_user_id, created_at DESC)",
        "imagen_images_backend_idx": "btree (backend)",
        "imagen_images_tags_idx": "gin (tags)",
        "claims_pkey": "btree (storage_path)",
        "embeddings_pkey": "btree (image_id, model)",
        "imagen_embeddings_owner_idx": "btree (owner_user_id, model, dimensions, image_id)",
        **{
            f"imagen_embeddings_{size}_idx": (
                f"hnsw (((embedding)::extensions.halfvec({size})) extensions.halfvec_cosine_ops)"
                f" WHERE (dimensions = {size})"
            )
            for size in (256, 384, 512, 640, 768, 1024, 1152, 1280, 1536)
        },
        "jobs_pkey": "btree (id)",
        "imagen_jobs_waiting_idx": (
            "btree (owner_user_id, priority DESC, created_at, id) WHERE (state = 'waiting'::text)"
        ),
        "imagen_jobs_drawing_idx": (
            "btree (owner_user_id, lease_until) WHERE (state = 'drawing'::text)"
        ),
        "imagen_jobs_owner_created_idx": "btree (owner_user_id, created_at DESC, id DESC)",
        "imagen_jobs_finished_idx": (
            "btree (owner_user_id, finished_at) WHERE (finished_at IS NOT NULL)"
        ),
        "workers_pkey": "btree (id)",
        "imagen_workers_owner_seen_idx": "btree (owner_user_id, seen_at DESC)",
        "votes_pkey": "btree (owner_user_id, id)",
        "imagen_votes_owner_created_idx": "btree (owner_user_id, created_at DESC, id DESC)",
        "parents_pkey": "btree (image_id, parent, how)",
        "imagen_parents_owner_idx": "btree (owner_user_id, parent)",
        "imagen_claims_owner_time_idx": "btree (owner_user_id, claimed_at DESC, image_id DESC)",
    }
    of_picture = "FOREIGN KEY (image_id) REFERENCES imagen.images(id) ON DELETE CASCADE"
    of_user = "FOREIGN KEY (owner_user_id) REFERENCES auth.users(id)"
    assert [key for (key,) in keys if not key.startswith("CHECK")] == [
        *[of_picture] * 2,
        *[of_user] * 7,
        *["PRIMARY KEY (id)"] * 3,
        "PRIMARY KEY (image_id, model)",
        "PRIMARY KEY (image_id, parent, how)",
        "PRIMARY KEY (owner_user_id, id)",
        "PRIMARY KEY (storage_path)",
    ]
    assert [key for (key,) in keys if key.startswith("CHECK")] == [
        "CHECK (((EXTRACT(year FROM (created_at AT TIME ZONE 'UTC'::text)) >= (1970)::numeric)"
        " AND (EXTRACT(year FROM (created_at AT TIME ZONE 'UTC'::text)) <= (9998)::numeric)))",
        "CHECK (((jsonb_typeof(request) = 'object'::text)"
        " AND (jsonb_typeof((request -> 'prompt'::text)) = 'string'::text)"
        " AND (length((request)::text) <= 65536)))",
        "CHECK (((max_attempts >= 1) AND (max_attempts <= 10)))",
        "CHECK (((seconds >= (0)::double precision) AND (seconds < 'Infinity'::double precision)))",
        "CHECK ((cardinality(backends) <= 100))",
        "CHECK ((extensions.l2_norm(embedding) > (0)::double precision))",
        "CHECK ((left_id <> right_id))",
        "CHECK ((length(error) <= 1000))",
        "CHECK ((length(name) <= 200))",
        "CHECK ((length(preview) <= 14000))",
        "CHECK ((length(question) <= 200))",
        "CHECK ((length(voter) <= 100))",
        "CHECK ((outcome = ANY (ARRAY['left'::text, 'right'::text, 'tie'::text, 'skip'::text])))",
        "CHECK ((state = ANY (ARRAY['waiting'::text, 'drawing'::text, 'done'::text,"
        " 'failed'::text, 'cancelled'::text])))",
    ]


def test_vectors_have_exactly_these_columns(migrated: psycopg.Connection) -> None:
    found = migrated.execute(
        """
        SELECT attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attrelid = 'imagen.embeddings'::regclass AND attnum > 0 ORDER BY attnum
        """
    ).fetchall()
    assert found == [
        ("image_id", "uuid", True, None),
        ("owner_user_id", "uuid", True, None),
        ("model", "text", True, None),
        ("dimensions", "integer", True, "extensions.vector_dims(embedding)"),
        ("embedding", "extensions.halfvec", True, None),
        ("created_at", "timestamp with time zone", True, "now()"),
    ]


def test_jobs_and_workers_have_exactly_these_columns(migrated: psycopg.Connection) -> None:
    found = migrated.execute(
        """
        SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull,
          pg_get_expr(adbin, adrelid)
        FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid
          LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attrelid IN ('imagen.jobs'::regclass, 'imagen.workers'::regclass) AND attnum > 0
        ORDER BY relname, attnum
        """
    ).fetchall()
    assert [row[1:] for row in found if row[0] == "jobs"] == [
        ("id", "uuid", True, "gen_random_uuid()"),
        ("owner_user_id", "uuid", True, "auth.uid()"),
        ("request", "jsonb", True, None),
        ("backend", "text", False, None),
        ("memory_mb", "integer", False, None),
        ("priority", "integer", True, "0"),
        ("state", "text", True, "'waiting'::text"),
        ("attempts", "integer", True, "0"),
        ("max_attempts", "integer", True, "3"),
        ("worker_id", "uuid", False, None),
        ("lease_until", "timestamp with time zone", False, None),
        ("progress", "jsonb", False, None),
        ("preview", "text", False, None),
        ("error", "text", False, None),
        ("created_at", "timestamp with time zone", True, "now()"),
        ("started_at", "timestamp with time zone", False, None),
        ("finished_at", "timestamp with time zone", False, None),
    ]
    assert [row[1:] for row in found if row[0] == "workers"] == [
        ("id", "uuid", True, None),
        ("owner_user_id", "uuid", True, "auth.uid()"),
        ("name", "text", True, None),
        ("backends", "text[]", True, None),
        ("memory_mb", "integer", False, None),
        ("version", "text", False, None),
        ("started_at", "timestamp with time zone", True, "now()"),
        ("seen_at", "timestamp with time zone", True, "now()"),
        ("stopped_at", "timestamp with time zone", False, None),
    ]


def test_votes_have_exactly_these_columns(migrated: psycopg.Connection) -> None:
    found = migrated.execute(
        """
        SELECT attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attrelid = 'imagen.votes'::regclass AND attnum > 0 ORDER BY attnum
        """
    ).fetchall()
    assert found == [
        ("owner_user_id", "uuid", True, None),
        ("id", "uuid", True, None),
        ("question", "text", True, None),
        ("voter", "text", True, None),
        ("left_id", "uuid", True, None),
        ("right_id", "uuid", True, None),
        ("outcome", "text", True, None),
        ("created_at", "timestamp with time zone", True, "now()"),
        ("seconds", "double precision", False, None),
        ("takes_back", "uuid", False, None),
    ]


WRONG_VOTES = {
    "a long question": {"question": "q" * 201},
    "a long name": {"voter": "v" * 101},
    "one picture": {"left_id": str(UUID(int=2)), "right_id": str(UUID(int=2))},
    "another outcome": {"outcome": "both"},
    "less than no time": {"seconds": -0.1},
    "endless": {"seconds": float("inf")},
    "no number": {"seconds": float("nan")},
    "before computers": {"created_at": "1969-12-31T23:59:59Z"},
    "beyond Python's calendar": {"created_at": "9999-01-01T00:00:00Z"},
    "never": {"created_at": "infinity"},
}


@pytest.mark.parametrize("wrong", [{}, *WRONG_VOTES.values()], ids=["right", *WRONG_VOTES])
def test_what_is_no_vote_is_no_row(migrated: psycopg.Connection, wrong: dict[str, Any]) -> None:
    """So whatever the table has, the library can read."""
    names = ("question", "voter", "left_id", "right_id", "outcome", "seconds", "created_at")
    usual = ("q" * 200, "\u263a" * 100, str(UUID(int=2)), str(UUID(int=3)), "tie", 0, "1970-01-01Z")
    row = dict(zip(names, usual, strict=True)) | {"id": UUID(int=1), "owner_user_id": OWNER} | wrong
    marks = ", ".join(["%s"] * len(row))
    insert = f"INSERT INTO imagen.votes ({', '.join(row)}) VALUES ({marks})".encode()
    with migrated.transaction(force_rollback=True):
        if not wrong:
            assert migrated.execute(insert, [*row.values()]).rowcount == 1
            return
        with pytest.raises(psycopg.errors.CheckViolation):
            migrated.execute(insert, [*row.values()])


def test_claims_have_exactly_these_columns(migrated: psycopg.Connection) -> None:
    found = migrated.execute(
        """
        SELECT attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attrelid = 'imagen.claims'::regclass AND attnum > 0 ORDER BY attnum
        """
    ).fetchall()
    assert found == [
        ("storage_path", "text", True, None),
        ("image_id", "uuid", True, None),
        ("owner_user_id", "uuid", True, None),
        ("claimed_at", "timestamp with time zone", True, "now()"),
    ]


def test_a_record_becomes_a_row(migrated: psycopg.Connection, make_record: Any) -> None:
    record: Record = make_record(owner_user_id=OWNER, storage_path="2026-05-11/a-11.png")
    row = record.to_row()
    values = [Json(value) if name == "sidecar" else value for name, value in row.items()]
    marks = ", ".join(["%s"] * len(row))
    insert = f"INSERT INTO imagen.images ({', '.join(row)}) VALUES ({marks})"
    with migrated.transaction(force_rollback=True):
        migrated.execute(insert.encode(), values)
        seen = migrated.execute("SELECT seed, tags, sidecar FROM imagen.images").fetchone()
    assert seen == (11, [], row["sidecar"])


def test_later_tables_get_the_same_grants_and_nothing_for_anon(
    migrated: psycopg.Connection,
) -> None:
    with migrated.transaction(force_rollback=True):
        migrated.execute("SET LOCAL ROLE migrator")
        migrated.execute("CREATE TABLE imagen.later (id INT)")
        rights = migrated.execute(
            """
            SELECT rolname, privilege
            FROM unnest(ARRAY['anon', 'authenticated', 'service_role']) AS r (rolname),
              unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS p (privilege)
            WHERE has_table_privilege(rolname, 'imagen.later', privilege)
            """
        ).fetchall()
    assert set(rights) == {
        *(("authenticated", right) for right in ("SELECT", "INSERT")),
        *(("service_role", right) for right in ("SELECT", "INSERT", "UPDATE", "DELETE")),
    }


def snapshot(connection: psycopg.Connection) -> dict[str, list[Any]]:
    """Everything that the migrations touch."""
    queries = {
        "policies": "SELECT * FROM pg_policies ORDER BY 1, 2, 3",
        "relations": """
            SELECT relname, relkind, relacl, relrowsecurity, relowner::regrole::text FROM pg_class
            WHERE relnamespace IN ('imagen'::regnamespace, 'storage'::regnamespace) ORDER BY 1
            """,
        "columns": """
            SELECT attname, atttypid, attacl FROM pg_attribute
            WHERE attrelid::regclass::text
              IN ('imagen.images', 'imagen.claims', 'imagen.jobs', 'imagen.workers', 'imagen.votes')
            ORDER BY attrelid, attnum
            """,
        "claims": "SELECT * FROM imagen.claims ORDER BY 1",
        "indexes": "SELECT * FROM pg_indexes WHERE schemaname = 'imagen' ORDER BY indexname",
        "constraints": """
            SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = 'imagen'::regnamespace ORDER BY 1
            """,
        "schemas": "SELECT nspname, nspacl FROM pg_namespace ORDER BY 1",
        "defaults": """
            SELECT defaclnamespace::regnamespace::text, defaclobjtype, defaclacl
            FROM pg_default_acl ORDER BY 1, 2
            """,
        "buckets": "SELECT * FROM storage.buckets",
        "settings": "SELECT * FROM pg_db_role_setting ORDER BY 1, 2",
    }
    return {name: connection.execute(query.encode()).fetchall() for name, query in queries.items()}


def run_all(connection: psycopg.Connection) -> None:
    """As who migrates would."""
    with connection.transaction():
        connection.execute("SET LOCAL ROLE migrator")
        for file in load_migrations():
            for statement in file.statements:
                connection.execute(statement.encode())


@pytest.mark.parametrize("version", each_version())
def test_running_all_twice_changes_nothing(version: str) -> None:
    with fresh_database(version=version) as database, database.connect() as connection:
        apply_migrations(database.url)
        before = snapshot(connection)
        run_all(connection)
        after = snapshot(connection)
    assert _sorted_grants(after) == _sorted_grants(before)
    assert len(before["policies"]) == 26 - 4 * (version == "15")  # which has no pgvector


def _sorted_grants(value: Any) -> Any:
    """Grants are listed in the order in which they were made, which means nothing."""
    if isinstance(value, dict):
        return {key: _sorted_grants(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_sorted_grants(item) for item in value]
    if isinstance(value, str) and value.startswith("{") and "=" in value:
        return sorted(value.strip("{}").split(","))
    return value


def test_running_again_puts_right_what_was_changed_by_hand(database: Database) -> None:
    apply_migrations(database.url)
    with database.connect() as connection:
        before = _sorted_grants(snapshot(connection))
        connection.execute(
            "GRANT ALL ON imagen.images, imagen.claims, imagen.jobs, imagen.workers, imagen.votes"
            " TO anon, authenticated"
        )
        connection.execute("GRANT UPDATE (request) ON imagen.jobs TO authenticated")
        connection.execute("GRANT UPDATE (started_at) ON imagen.workers TO authenticated")
        connection.execute("UPDATE storage.buckets SET public = TRUE, file_size_limit = NULL")
        connection.execute("ALTER POLICY imagen_images_select ON imagen.images USING (TRUE)")
        connection.execute("ALTER POLICY imagen_claims_insert ON imagen.claims WITH CHECK (TRUE)")
        connection.execute("ALTER POLICY imagen_jobs_update ON imagen.jobs USING (TRUE)")
        connection.execute("ALTER POLICY imagen_workers_select ON imagen.workers USING (TRUE)")
        connection.execute("ALTER POLICY imagen_votes_insert ON imagen.votes WITH CHECK (TRUE)")
        assert _sorted_grants(snapshot(connection)) != before
        run_all(connection)
        after = _sorted_grants(snapshot(connection))
    assert after == before


def test_what_went_up_before_there_were_claims_is_claimed_by_its_pictures(
    database: Database,
) -> None:
    """Of two rows with one path by the older: the later picture's bytes may be there."""
    files = load_migrations()
    (place,) = (n for n, file in enumerate(files) if file.name == "imagen_claims")
    apply_migrations(database.url, files=files[:place])
    with database.connect() as connection:
        for number, path in enumerate(["a.png", "b.png", "b.png"], 1):
            values = [UUID(int=10 - number), OWNER, path, f"2026-05-{10 + number}"]
            connection.execute(
                "INSERT INTO imagen.images"
                " (id, owner_user_id, prompt, backend, storage_path, created_at)"
                " VALUES (%s, %s, 'a boat', 'b', %s, %s)",
                values,
            )
        apply_migrations(database.url)
        query = "SELECT storage_path, image_id, owner_user_id FROM imagen.claims ORDER BY 1"
        assert connection.execute(query).fetchall() == [
            ("a.png", UUID(int=9), UUID(OWNER)),
            ("b.png", UUID(int=8), UUID(OWNER)),
        ]


def test_the_files_ask_no_more_of_storage_than_hosted_supabase_allows() -> None:
    """There postgres owns neither table: it may make policies and rows, not ALTER and COMMENT."""
    statements = [_bare(text) for file in load_migrations() for text in file.statements]
    theirs = [text for text in statements if re.search(r"(ON|TABLE|INTO) storage\.", text)]
    allowed = ("CREATE POLICY imagen_generated_", "DROP POLICY IF EXISTS imagen_generated_")
    assert len(theirs) == 9
    assert all(text.startswith((*allowed, "INSERT INTO storage.buckets")) for text in theirs)
    assert not [text for text in statements if re.match(r"(COMMENT|BEGIN|COMMIT|VACUUM)", text)]


def test_every_statement_has_its_reason_or_follows_one_that_has() -> None:
    for file in load_migrations():
        assert file.statements[0].startswith("--"), file.path.name


def _bare(statement: str) -> str:
    return " ".join(re.sub(r"--[^\n]*", "", statement).split())


def exposed(connection: psycopg.Connection) -> dict[str, str]:
    """The setting by where it stands: for all databases, or for this one."""
    rows = connection.execute(
        """
        SELECT CASE setdatabase WHEN 0 THEN 'all' ELSE 'this' END, split_part(entry, '=', 2)
        FROM pg_db_role_setting, unnest(setconfig) AS entry
        WHERE setrole = 'authenticator'::regrole AND split_part(entry, '=', 1) = 'pgrst.db_schemas'
          AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
        """
    )
    return dict(rows.fetchall())


USUAL = "public, graphql_public, imagen"


@pytest.mark.parametrize(
    ("everywhere", "here", "expected"),
    [
        pytest.param(None, None, {"all": USUAL}, id="absent"),
        pytest.param("", None, {"all": USUAL}, id="empty"),
        pytest.param("public", None, {"all": "public, imagen"}, id="one"),
        pytest.param("api,public", None, {"all": "api,public, imagen"}, id="no spaces"),
        pytest.param(" api , public ", None, {"all": " api , public, imagen"}, id="many spaces"),
        pytest.param('my app, "Odd"', None, {"all": 'my app, "Odd", imagen'}, id="odd names"),
        pytest.param("it's", None, {"all": "it's, imagen"}, id="an apostrophe"),
        pytest.param("public,", None, {"all": "public, imagen"}, id="a comma too many"),
        pytest.param("public, imagen", None, {"all": "public, imagen"}, id="there, last"),
        pytest.param("imagen,public", None, {"all": "imagen,public"}, id="there, first"),
        pytest.param("a, imagen , b", None, {"all": "a, imagen , b"}, id="there, within"),
        pytest.param(
            "imagen2, my_imagen", None, {"all": "imagen2, my_imagen, imagen"}, id="like it"
        ),
        pytest.param("Imagen", None, {"all": "Imagen, imagen"}, id="another by its case"),
        pytest.param(None, "api", {"this": "api, imagen"}, id="this database only"),
        pytest.param("public", "api", {"all": "public", "this": "api, imagen"}, id="both"),
        pytest.param(
            "imagen", "api", {"all": "imagen", "this": "api, imagen"}, id="both, one has it"
        ),
        pytest.param(
            "public", "imagen", {"all": "public", "this": "imagen"}, id="both, this has it"
        ),
    ],
)
def test_exposing_keeps_what_is_there(
    migrated: psycopg.Connection,
    everywhere: str | None,
    here: str | None,
    expected: dict[str, str],
) -> None:
    this = f"IN DATABASE {migrated.info.dbname}"
    with migrated.transaction(force_rollback=True):
        for place, value in (("", everywhere), (this, here)):
            if value is not None:
                text = value.replace("'", "''")
                change = f"ALTER ROLE authenticator {place} SET {SCHEMAS} = '{text}'"
                migrated.execute(change.encode())
        run_all(migrated)
        assert exposed(migrated) == expected
        run_all(migrated)
        assert exposed(migrated) == expected


def test_a_schema_that_does_not_exist_is_not_exposed(migrated: psycopg.Connection) -> None:
    with migrated.transaction(force_rollback=True):
        migrated.execute("DROP SCHEMA graphql_public")
        run_all(migrated)
        assert exposed(migrated) == {"all": "public, imagen"}


def test_other_settings_and_other_databases_stay(migrated: psycopg.Connection) -> None:
    elsewhere = "ALTER ROLE authenticator IN DATABASE postgres SET pgrst.db_schemas = 'x'"
    with migrated.transaction(force_rollback=True):
        migrated.execute("ALTER ROLE authenticator SET statement_timeout = '8s'")
        migrated.execute(elsewhere.encode())
        run_all(migrated)
        kept = migrated.execute("SELECT setconfig FROM pg_db_role_setting").fetchall()
    assert sorted(entry for (config,) in kept for entry in config) == [
        f"{SCHEMAS}={USUAL}",
        f"{SCHEMAS}=x",
        "statement_timeout=8s",
    ]


def test_who_had_no_list_is_told_what_the_api_shows_now(database: Database) -> None:
    said: list[str] = []
    apply_migrations(database.url, tell=said.append)
    (warning,) = said
    assert warning.startswith("the database warns: the API now shows the schemas public, graphql")


def test_who_had_a_list_is_told_nothing(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("ALTER ROLE authenticator SET pgrst.db_schemas = 'public'")
    said: list[str] = []
    apply_migrations(database.url, tell=said.append)
    assert said == []


def test_what_went_up_before_is_a_child_of_its_parents(database: Database) -> None:
    files = load_migrations()
    (place,) = (n for n, file in enumerate(files) if file.name == "imagen_parents")
    apply_migrations(database.url, files=files[:place])
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO imagen.images (owner_user_id, prompt, backend, storage_path, sidecar)"
            " VALUES (%s, 'a boat', 'b', 'a.png', %s), (%s, 'a ship', 'b', 'b.png', NULL)",
            [OWNER, Json(SIDECAR), OWNER],
        )
        apply_migrations(database.url)
        assert parents(connection) == PARENTS


def test_parents_follow_their_pictures(migrated: psycopg.Connection) -> None:
    with migrated.transaction(force_rollback=True):
        migrated.execute(
            "INSERT INTO imagen.images (owner_user_id, prompt, backend, storage_path, sidecar)"
            " VALUES (%s, 'a boat', 'b', 'a.png', %s)",
            [OWNER, Json(SIDECAR)],
        )
        assert parents(migrated) == PARENTS
        migrated.execute("UPDATE imagen.images SET sidecar = %s", [Json({"inputs": [{"id": "x"}]})])
        assert parents(migrated) == [("x", "")]
        migrated.execute("DELETE FROM imagen.images")
        assert parents(migrated) == []


ODD: list[Any] = [None, [], "x", 3, {"inputs": 3}, {"inputs": [{"id": "9" * 3000}, 5, None, [1]]}]


@pytest.mark.parametrize("sidecar", ODD, ids=str)
def test_a_sidecar_may_be_any_json(migrated: psycopg.Connection, sidecar: Any) -> None:
    with migrated.transaction(force_rollback=True):
        migrated.execute(
            "INSERT INTO imagen.images (owner_user_id, prompt, backend, storage_path, sidecar)"
            " VALUES (%s, 'a boat', 'b', 'a.png', %s)",
            [OWNER, Json(sidecar)],
        )
        assert parents(migrated) == []


SIDECAR = {
    "inputs": [{"name": "init_image", "id": "a", "sha256": "b"}, {"name": "mask"}],
    "derived_from": [{"how": "upscaled", "id": None, "sha256": "c"}],
}
PARENTS = [("a", "init_image"), ("b", "init_image"), ("c", "upscaled")]


def parents(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute("SELECT parent, how FROM imagen.parents ORDER BY 1").fetchall()


def test_the_api_is_told_to_look_again(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("LISTEN pgrst")
        apply_migrations(database.url)
        told = sum(" ".join(file.statements).count("NOTIFY pgrst") for file in load_migrations())
        heard = [notice.payload for notice in connection.notifies(timeout=5, stop_after=told)]
    assert heard == ["reload config", *["reload schema"] * (told - 1)]


def test_without_an_authenticator_the_rest_is_applied(migrated: psycopg.Connection) -> None:
    """Small servers have no such role."""
    with migrated.transaction(force_rollback=True):
        migrated.execute("ALTER ROLE authenticator RENAME TO hidden")
        run_all(migrated)
        assert migrated.execute("SELECT FROM pg_db_role_setting").rowcount == 0
