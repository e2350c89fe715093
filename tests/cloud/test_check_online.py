"""`imagen config validate --online` against a database that lacks one thing after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from pydantic import SecretStr

from imagen_nb.cloud import local
from imagen_nb.cloud.account import account_of
from imagen_nb.cloud.check import Finding, check_server
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import NoVectorsError, NoVotesError
from imagen_nb.cloud.local import LocalSupabase
from imagen_nb.cloud.local.configure import write_to_config
from imagen_nb.cloud.migrate import apply_migrations
from imagen_nb.cloud.vectors import find_in_cloud, push_vectors
from imagen_nb.config.settings import Settings, SupabaseSettings, load_settings
from imagen_nb.storage.vectors import VectorStore
from imagen_nb.studio.checkup.keeping import ask_supabase
from imagen_nb.studio.studio import Studio
from tests.fixtures.pictures import render
from tests.fixtures.postgres import cluster
from tests.fixtures.supabase_fixtures import npm_as_at_home, settings

INSERT_OWN = "imagen_images_insert"
DAMAGE = {  # what a user finds wrong: the statement, and the migration that is named
    "a table that is not there": ("ALTER TABLE imagen.images RENAME TO gone", "imagen_images"),
    "no right to read rows": (
        "REVOKE SELECT ON imagen.images FROM authenticated",
        "imagen_grants",
    ),
    "no right to add rows": (
        f"DROP POLICY {INSERT_OWN} ON imagen.images",
        "imagen_row_level_security",
    ),
    "rows for everybody": (
        "CREATE POLICY loose ON imagen.images FOR INSERT TO authenticated WITH CHECK (TRUE)",
        "imagen_row_level_security",
    ),
    "no claims": ("ALTER TABLE imagen.claims RENAME TO gone", "imagen_claims"),
    "no right to claim": (
        "DROP POLICY imagen_claims_insert ON imagen.claims",
        "imagen_claims",
    ),
    "claims for everybody": (
        "CREATE POLICY loose ON imagen.claims FOR INSERT TO authenticated WITH CHECK (TRUE)",
        "imagen_claims",
    ),
    "no right to remove": ("REVOKE DELETE ON imagen.images FROM authenticated", "imagen_delete"),
    "no jobs": ("ALTER TABLE imagen.jobs RENAME TO gone", "imagen_jobs"),
    "no right to ask for pictures": (
        "DROP POLICY imagen_jobs_insert ON imagen.jobs",
        "imagen_jobs",
    ),
    "no boxes": ("ALTER TABLE imagen.workers RENAME TO gone", "imagen_workers"),
    "boxes for everybody": (
        "CREATE POLICY loose ON imagen.workers FOR INSERT TO authenticated WITH CHECK (TRUE)",
        "imagen_workers",
    ),
    "no votes": ("ALTER TABLE imagen.votes RENAME TO gone", "imagen_votes"),
    "no right to vote": ("DROP POLICY imagen_votes_insert ON imagen.votes", "imagen_votes"),
    "votes for everybody": (
        "CREATE POLICY loose ON imagen.votes FOR INSERT TO authenticated WITH CHECK (TRUE)",
        "imagen_votes",
    ),
    "no functions of jobs": ("DROP FUNCTION imagen.list_workers", "imagen_job_functions"),
    "no bucket": ("DELETE FROM storage.buckets", "imagen_bucket"),
    "no right to upload": (
        "DROP POLICY imagen_generated_insert ON storage.objects",
        "imagen_bucket_policies",
    ),
    "everybody's folders": (
        "CREATE POLICY loose ON storage.objects FOR INSERT TO authenticated WITH CHECK (TRUE)",
        "imagen_bucket_policies",
    ),
}


@pytest.fixture(scope="module")
def supabase(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSupabase]:
    folder = tmp_path_factory.mktemp("checked")
    with cluster().connect("postgres") as admin, npm_as_at_home():
        admin.execute("CREATE ROLE check_admin SUPERUSER LOGIN PASSWORD 'x'")
        admin.execute("CREATE DATABASE checked OWNER check_admin")
        url = f"postgresql://check_admin:x@127.0.0.1:{cluster().port}/checked"
        try:
            yield local.start(folder, database_url=url, with_parent=True)
        finally:
            local.stop(folder)
            admin.execute("DROP DATABASE checked WITH (FORCE)")
            admin.execute("DROP ROLE check_admin")
            admin.execute("ALTER ROLE authenticator RESET ALL")


@pytest.fixture
def found(supabase: LocalSupabase) -> Callable[[], list[Finding]]:
    """What a signed-in user hears."""
    settings = Settings(
        supabase=SupabaseSettings(
            url=supabase.url,
            key=SecretStr(supabase.anon_key),
            email=supabase.email,
            password=SecretStr(supabase.password),
        )
    )
    return lambda: list(check_server(settings))


@pytest.mark.slow
@pytest.mark.parametrize("what", DAMAGE)
def test_what_is_missing_is_named(
    what: str, found: Any, supabase: LocalSupabase, tmp_path: Path
) -> None:
    statement, migration = DAMAGE[what]
    assert [finding.trouble for finding in found()] == [None] * 8
    assert supabase.database_url
    with psycopg.connect(supabase.database_url, autocommit=True) as database:
        database.execute(statement.encode())
        try:
            wrong = [finding for finding in found() if finding.trouble]
        finally:
            repair(database, what)
    assert [finding.migration for finding in wrong] == [migration], wrong
    assert wrong[0].trouble
    assert "imagen db migrate" in wrong[0].trouble


@pytest.mark.slow
def test_the_doctor_asks_the_same_questions(
    supabase: LocalSupabase, found: Callable[[], list[Finding]], tmp_path: Path
) -> None:
    file = tmp_path / "imagen.yaml"
    write_to_config(file, supabase)
    rows = [*ask_supabase(load_settings(path=file))]
    assert [(row.what, row.state) for row in rows] == [(one.what, "good") for one in found()]


@pytest.mark.slow
def test_without_the_last_migration_a_deleted_picture_waits_to_be_removed(
    supabase: LocalSupabase, folder: Path
) -> None:
    assert supabase.database_url
    render(folder, 2)
    with (
        psycopg.connect(supabase.database_url, autocommit=True) as database,
        Studio(settings(folder, supabase), background=False) as studio,
    ):
        assert studio.sync().synced == 2
        for statement in (
            "REVOKE DELETE ON imagen.images FROM authenticated",
            "DROP POLICY imagen_images_delete ON imagen.images",
            "DROP POLICY imagen_generated_delete ON storage.objects",
        ):
            database.execute(statement.encode())
        try:
            studio.delete(studio.history(source="local").iloc[:1])
            ((_, reason),) = studio.sync().unremoved
        finally:
            repair(database, "")
        assert reason.startswith("no right to remove ")
        assert reason.endswith(": run `imagen db migrate`")
        rows = database.execute("SELECT FROM imagen.images").rowcount
        assert rows == database.execute("SELECT FROM storage.objects").rowcount == 2
        assert studio.sync().removed == 1
        rows = database.execute("SELECT FROM imagen.images").rowcount
        assert rows == database.execute("SELECT FROM storage.objects").rowcount == 1


@pytest.mark.slow
def test_without_their_table_votes_wait_and_all_else_works(
    supabase: LocalSupabase, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert supabase.database_url
    render(folder, 2)
    with (
        psycopg.connect(supabase.database_url, autocommit=True) as database,
        Studio(settings(folder, supabase), background=False) as studio,
    ):
        vote = studio.vote(*studio.history(source="local")["id"], "left")
        database.execute("ALTER TABLE imagen.votes RENAME TO gone")
        database.execute("NOTIFY pgrst, 'reload schema'")
        try:
            studio.tag(studio.history(source="local"), "sea")
            report = studio.sync()
            said = capfd.readouterr().err
            here = [*studio.votes()["id"]], [*studio.votes()["id"]]
            told = capfd.readouterr().err
            with pytest.raises(NoVotesError, match="`imagen db migrate` makes it"):
                studio.votes(source="cloud")
        finally:
            repair(database, "no votes")
        assert (report.synced, report.votes, report.trouble) == (2, 0, None)
        assert said.count("your Supabase has no table of votes") == 1
        assert here == ([str(vote.id)], [str(vote.id)])
        assert told.count("your Supabase has no table of votes: `imagen db migrate`") == 1
        assert studio.sync().votes == 1
        assert [*studio.votes(source="cloud")["id"]] == [str(vote.id)]


def repair(database: psycopg.Connection[Any], what: str) -> None:
    """As it was: every migration may run twice."""
    from imagen_nb.cloud.migrate import load_migrations

    if what == "a table that is not there":
        database.execute("ALTER TABLE imagen.gone RENAME TO images")
    if what == "no claims":
        database.execute("ALTER TABLE imagen.gone RENAME TO claims")
    for lost, table in (("no jobs", "jobs"), ("no boxes", "workers"), ("no votes", "votes")):
        if what == lost:
            database.execute(f"ALTER TABLE imagen.gone RENAME TO {table}".encode())
    for table in ("images", "claims", "workers", "votes"):
        database.execute(f"DROP POLICY IF EXISTS loose ON imagen.{table}".encode())
    database.execute("DROP POLICY IF EXISTS loose ON storage.objects")
    for migration in load_migrations():
        for statement in migration.statements:
            database.execute(statement.encode())


@pytest.mark.slow
def test_without_pgvector_all_but_the_search_works_and_is_said_once(
    supabase: LocalSupabase, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert supabase.database_url
    render(folder, 2)
    with (
        psycopg.connect(supabase.database_url, autocommit=True) as database,
        Studio(settings(folder, supabase), background=False) as studio,
    ):
        ids = [*studio.history(source="local")["id"]]
        VectorStore(studio.catalog().folder, "tiny-1", 3).add(ids, [[1, 0, 0], [0, 1, 0]])
        database.execute("DROP TABLE imagen.embeddings")
        database.execute("NOTIFY pgrst, 'reload schema'")
        account = account_of(load_settings(settings(folder, supabase)))
        assert account
        try:
            report = studio.sync()
            said = capfd.readouterr().err
            with closing(Cloud(account)) as cloud:
                assert push_vectors(studio.catalog(), cloud) == 0
                assert push_vectors(studio.catalog(), cloud) == 0
                told_again = capfd.readouterr().err
                with pytest.raises(NoVectorsError, match="`imagen db migrate` makes a place"):
                    find_in_cloud(cloud, "tiny-1", np.ones(3, np.float32), 2)
        finally:
            assert apply_migrations(supabase.database_url) == []
        assert (report.synced, report.vectors, report.trouble) == (2, 0, None)
        assert said.count("your Supabase has no vectors") == 1
        assert told_again.count("your Supabase has no vectors") == 1
        assert database.execute("SELECT FROM imagen.embeddings").rowcount == 0  # made anew
