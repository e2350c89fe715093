"""The rules of Supabase's database linter find nothing in our migrations, and find each fault."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from imagen_nb.cloud.migrate import apply_migrations
from tests.fixtures.database_lint import RULES, findings
from tests.fixtures.postgres import each_version, fresh_database

USER_TABLE = "CREATE TABLE public.t (id INT PRIMARY KEY, a UUID, b UUID);"
PROTECTED = f"{USER_TABLE} ALTER TABLE public.t ENABLE ROW LEVEL SECURITY;"
OWN = f"{PROTECTED} CREATE POLICY p ON public.t"
TWO_KEYS = """
CREATE TABLE imagen.elders (a UUID, b UUID, PRIMARY KEY (a, b));
CREATE TABLE imagen.children (c INT, a UUID, b UUID, FOREIGN KEY (a, b) REFERENCES imagen.elders);
ALTER TABLE imagen.elders ENABLE ROW LEVEL SECURITY;
ALTER TABLE imagen.children ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON imagen.elders FOR SELECT USING (a = (SELECT auth.uid()));
CREATE POLICY p ON imagen.children FOR SELECT USING (a = (SELECT auth.uid()));
"""
FUNCTION = (
    "CREATE FUNCTION imagen.f() RETURNS INT LANGUAGE sql SET search_path = '' {} AS 'SELECT 1';"
)
NOT_FOR_ALL = "REVOKE EXECUTE ON FUNCTION imagen.f FROM PUBLIC;"
QUEUE = """
CREATE SCHEMA pgmq;
CREATE TABLE pgmq.q_work (msg_id BIGINT);
GRANT SELECT ON pgmq.q_work TO anon;
ALTER ROLE authenticator SET pgrst.db_schemas = 'public, pgmq_public';
"""
SHOWN = "INSERT INTO storage.buckets (id, name, public) VALUES ('shown', 'shown', TRUE);"
LISTING = f"{SHOWN} CREATE POLICY p ON storage.objects FOR {{}} TO anon USING ({{}});"

# rule, what is planted, and what else is then found
FAULTS = [
    ("0001", TWO_KEYS, ""),
    ("0001", f"{TWO_KEYS} CREATE INDEX ON imagen.children (a);", ""),
    ("0001", f"{TWO_KEYS} CREATE INDEX ON imagen.children (b, a);", ""),
    ("0001", f"{TWO_KEYS} CREATE INDEX ON imagen.children (c, a, b);", ""),
    ("0001", f"{TWO_KEYS} CREATE INDEX ON imagen.children (a, b) WHERE a IS NOT NULL;", ""),
    ("0001", "DROP INDEX imagen.imagen_images_owner_created_idx", ""),
    ("0003", f"{OWN} USING (a = auth.uid()) WITH CHECK (a = (SELECT auth.uid()))", ""),
    ("0003", f"{OWN} USING (a = (SELECT auth.uid())) WITH CHECK (a = auth.uid())", ""),
    ("0003", f"{OWN} FOR SELECT USING (a = (SELECT auth.uid()) OR b = auth.uid())", ""),
    ("0003", f"{OWN} FOR SELECT USING (current_setting('x.y') = 'z')", ""),
    (
        "0003",
        "ALTER POLICY imagen_generated_insert ON storage.objects WITH CHECK (owner = auth.uid())",
        "",
    ),
    ("0006", "CREATE POLICY p ON imagen.images FOR SELECT USING (width > 9)", ""),
    (
        "0006",
        "CREATE POLICY p ON imagen.claims USING (image_id = owner_user_id)"
        " WITH CHECK (image_id = owner_user_id)",
        "",
    ),
    ("0007", "ALTER TABLE imagen.claims DISABLE ROW LEVEL SECURITY", "0013"),
    ("0008", PROTECTED, ""),
    ("0011", "CREATE FUNCTION imagen.f() RETURNS INT LANGUAGE sql AS 'SELECT 1'", ""),
    ("0011", "CREATE PROCEDURE imagen.f() LANGUAGE sql SET work_mem = '9MB' AS 'SELECT 1'", ""),
    ("0013", USER_TABLE, ""),
    ("0013", "CREATE TABLE imagen.later (id INT)", ""),
    ("0019", QUEUE, ""),
    ("0024", f"{OWN} FOR SELECT USING (TRUE)", ""),
    ("0024", f"{OWN} FOR INSERT WITH CHECK (TRUE)", ""),
    ("0024", f"{OWN} FOR SELECT USING (1 = 1)", ""),
    ("0024", f"{OWN} FOR SELECT USING ('a' = 'a')", ""),
    ("0024", f"{OWN} FOR SELECT USING (a = (SELECT auth.uid()) OR TRUE)", ""),
    ("0024", f"{OWN} FOR SELECT", ""),
    ("0024", f"{OWN} FOR UPDATE USING (a = (SELECT auth.uid()))", ""),
    ("0024", "ALTER POLICY imagen_images_update ON imagen.images WITH CHECK (TRUE)", ""),
    ("0024", "ALTER POLICY imagen_generated_select ON storage.objects USING (TRUE)", ""),
    ("0025", LISTING.format("SELECT", "bucket_id = 'shown'"), ""),
    ("0025", LISTING.format("SELECT", "TRUE"), "0024"),
    ("0025", LISTING.format("ALL", "bucket_id = 'shown'"), "0024"),
    (
        "0028",
        f"{FUNCTION.format('SECURITY DEFINER')} {NOT_FOR_ALL}"
        " GRANT EXECUTE ON FUNCTION imagen.f TO anon",
        "",
    ),
    (
        "0029",
        f"{FUNCTION.format('SECURITY DEFINER')} {NOT_FOR_ALL}"
        " GRANT EXECUTE ON FUNCTION imagen.f TO authenticated",
        "",
    ),
    ("0028", FUNCTION.format("SECURITY DEFINER"), "0029"),
]

# what looks like a fault and is none
SOUND = [
    f"{TWO_KEYS} CREATE INDEX ON imagen.children (a, b, c)",
    f"{OWN} FOR SELECT USING (a = (SELECT auth.uid()))",
    f"{OWN} FOR SELECT USING ((SELECT current_setting('x.y')) = 'z')",
    "CREATE POLICY p ON imagen.claims FOR DELETE TO authenticated USING (image_id = owner_user_id)",
    "CREATE POLICY p ON imagen.images AS RESTRICTIVE FOR SELECT USING (TRUE)",
    "CREATE POLICY p ON imagen.images FOR SELECT TO service_role USING (TRUE)",
    f"{FUNCTION.format('SECURITY INVOKER')}",
    f"{FUNCTION.format('SECURITY DEFINER')} {NOT_FOR_ALL}",
    f"{QUEUE} ALTER TABLE pgmq.q_work ENABLE ROW LEVEL SECURITY",
    f"{QUEUE} REVOKE SELECT ON pgmq.q_work FROM anon",
    f"{QUEUE} ALTER ROLE authenticator SET pgrst.db_schemas = 'public'",
    LISTING.format("SELECT", "bucket_id = 'shown' AND owner = (SELECT auth.uid())"),
    LISTING.format("SELECT", "bucket_id = 'hidden'"),
    SHOWN,
]


@pytest.fixture(scope="module", params=each_version())
def connection(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    """As the superuser, in a new project that our migrations were applied to."""
    with fresh_database(version=request.param) as database:
        apply_migrations(database.url)
        with database.connect() as connection:
            yield connection


def found_numbers(connection: psycopg.Connection) -> set[str]:
    return {name.partition("_")[0] for name in findings(connection)}


def test_our_migrations_leave_nothing_to_find(connection: psycopg.Connection) -> None:
    assert findings(connection) == {}


@pytest.mark.parametrize(("rule", "planted", "also"), FAULTS)
def test_a_planted_fault_is_found(
    connection: psycopg.Connection, rule: str, planted: str, also: str
) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute(planted.encode())
        assert found_numbers(connection) == {rule, also} - {""}


@pytest.mark.parametrize("planted", SOUND)
def test_what_only_looks_like_a_fault_is_not_found(
    connection: psycopg.Connection, planted: str
) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute(planted.encode())
        assert found_numbers(connection) == set()


def test_every_rule_has_a_planted_fault() -> None:
    assert {name.partition("_")[0] for name in RULES} == {rule for rule, *_ in FAULTS}
