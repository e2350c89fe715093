"""A database that an older version migrated: what is missing is said in a line, then added."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import imagen_nb as im
from imagen_nb.cli import run
from imagen_nb.cloud import local
from imagen_nb.cloud.check import check_server
from imagen_nb.cloud.local import LocalSupabase, server
from imagen_nb.cloud.local.configure import write_to_config
from imagen_nb.cloud.migrate import apply_migrations, load_migrations
from imagen_nb.config.settings import load_settings
from imagen_nb.studio.remote.worker import JobWorker
from tests.fixtures.postgres import Database, database_fixture  # noqa: F401
from tests.fixtures.supabase_fixtures import npm_as_at_home, settings

WITHOUT_JOBS = [file for file in load_migrations() if file.version < "20261130"]
WITHOUT_SEARCH = [file for file in load_migrations() if file.version < "20261127130000"]
QUICK = {"steps": 1, "width": 64, "height": 64, "progress": False}
TINY = "flux-tiny-local"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    with npm_as_at_home():
        folder = tmp_path / "supabase"
        yield folder
        local.stop(folder)


@pytest.fixture
def older(place: Path, monkeypatch: pytest.MonkeyPatch) -> LocalSupabase:
    """The local Supabase, as a version without jobs starts it."""
    with monkeypatch.context() as patched:
        patched.setattr(server, "load_migrations", lambda: WITHOUT_JOBS)
        return local.start(place, with_parent=True)


def test_without_jobs_a_line_says_what_to_run_and_the_next_start_does_it(
    older: LocalSupabase, place: Path, folder: Path, tmp_path: Path
) -> None:
    values = settings(folder, older)
    with im.Studio(values, background=False) as studio:
        first = studio.generate("a boat", seed=1, backend=TINY, **QUICK)
        assert studio.sync().synced == 1
        for backend in ("remote", f"remote:{TINY}"):
            with pytest.raises(im.CloudError, match=r"run `imagen db migrate`$"):
                studio.generate("a boat", backend=backend, **QUICK)
        for ask in (studio.jobs, studio.boxes, JobWorker(studio, backends=[TINY]).run):
            with pytest.raises(im.CloudError, match=r"run `imagen db migrate`$"):
                ask()
    local.stop(place)
    newer = local.start(place, with_parent=True)
    with im.Studio(settings(folder, newer), background=False) as studio:
        assert [*studio.history(source="cloud")["id"]] == [str(first.record.id)]
        handle = studio.generate("a boat", seed=1, backend=f"remote:{TINY}", wait=False, **QUICK)
        with im.Studio(settings(tmp_path / "box", newer), background=False) as box:
            JobWorker(box, backends=[TINY]).run(once=True)
        assert handle.picture(timeout=60).record.sha256


def test_without_jobs_the_commands_say_what_to_run(
    older: LocalSupabase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "imagen.yaml"
    write_to_config(file, older)
    config = ["--config", str(file)]
    for command in (["jobs"], ["jobs", "prune", "--older", "1d"], ["work", "--backends", TINY]):
        assert run([*command, *config]) == 1
        said = capsys.readouterr().err
        assert said.count("run `imagen db migrate`") == 1, said
        assert "Traceback" not in said
    run(["doctor", *config, "--online", "--json"])
    rows = [row for row in json.loads(capsys.readouterr().out) if row["state"] == "wrong"]
    missing = ["drawing elsewhere", "votes"]
    assert [(row["name"], row["what"]) for row in rows] == [("supabase", what) for what in missing]
    wrong, votes = (one for one in check_server(load_settings(path=file)) if one.trouble)
    assert (votes.what, votes.migration) == ("votes", "imagen_votes")
    assert (wrong.what, wrong.migration) == ("drawing elsewhere", "imagen_jobs")
    assert str(wrong.trouble).endswith("the table imagen.jobs is missing: run `imagen db migrate`")


def test_the_status_of_the_database_lists_what_is_missing(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    apply_migrations(database.url, files=WITHOUT_SEARCH)
    assert run(["db", "status", "--database-url", database.url]) == 0
    lines = capsys.readouterr().out.splitlines()
    states = {line.split()[1]: line.split()[-1] for line in lines}
    missing = [name for name, state in states.items() if state == "pending"]
    assert missing == [file.name for file in load_migrations()[len(WITHOUT_SEARCH) :]]
    assert "imagen_jobs" in missing
    assert run(["db", "migrate", "--database-url", database.url]) == 0
    with psycopg.connect(database.url) as connection:
        assert connection.execute("SELECT FROM imagen.jobs").rowcount == 0
