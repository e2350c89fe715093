"""Straight from PostgreSQL: the same rows as through the API, and nothing said of the password."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from imagen_nb.cloud.errors import Refused, Unreachable
from imagen_nb.cloud.sync import _without_nul
from imagen_nb.errors import CloudError, UsageError
from imagen_nb.frames.query import query
from imagen_nb.frames.sources import direct
from imagen_nb.storage.record import IMAGES_COLUMNS
from imagen_nb.studio.studio import Studio
from tests.fixtures.histories import CASES, entered, records
from tests.fixtures.postgres import MIGRATED, OWNER, STRANGER, Database, fresh_database


@pytest.fixture(scope="module")
def filled() -> Iterator[Database]:
    """A migrated database with the rows of two users."""
    with fresh_database(MIGRATED) as database, closing(database.connect()) as admin:
        for id in (OWNER, STRANGER):
            admin.execute("INSERT INTO auth.users (id) VALUES (%s) ON CONFLICT DO NOTHING", [id])
        _insert(admin, [record.to_row() for record in records(OWNER)])
        others = [record.to_row() | {"id": str(uuid.uuid4())} for record in records(STRANGER)]
        _insert(admin, others)
        yield database


def _insert(connection: psycopg.Connection, rows: list[dict[str, Any]]) -> None:
    marks = ", ".join(["%s"] * len(IMAGES_COLUMNS))
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO imagen.images ({', '.join(IMAGES_COLUMNS)}) VALUES ({marks})",
            [
                [Jsonb(v) if isinstance(v, dict) else v for v in _without_nul(row).values()]
                for row in rows
            ],
        )


@pytest.fixture(scope="module")
def studio(filled: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("direct")
    settings = {
        "output": {"dir": str(folder)},
        "supabase": {"database_url": _as_superuser(filled)},
        "owner_user_id": OWNER,
    }
    with Studio(settings, background=False) as studio:
        entered(studio.catalog(), records(OWNER))
        yield studio


def _as_superuser(database: Database) -> str:
    return f"postgresql:///{database.name}?host={database.cluster.folder}&user=postgres&port={database.cluster.port}"


@pytest.mark.parametrize("case", CASES)
def test_the_database_and_the_catalog_agree_row_by_row(studio: Studio, case: str) -> None:
    asked, count = CASES[case]
    here = studio.history(**asked, source="local", sidecar=True)
    there = studio.history(**asked, source="cloud", sidecar=True)
    assert len(there) == count
    here["prompt"] = here["prompt"].str.replace("\0", "\N{REPLACEMENT CHARACTER}")
    pd.testing.assert_frame_equal(
        here.drop(columns="sidecar"), there.drop(columns="sidecar"), check_categorical=False
    )
    assert [s["seed"] for s in there["sidecar"]] == there["seed"].tolist()


def test_rows_without_a_time_come_last(filled: Database) -> None:
    url, owner = SecretStr(_as_superuser(filled)), uuid.UUID(OWNER)
    bare = "INSERT INTO imagen.images (owner_user_id, prompt, backend, storage_path, created_at)"
    with closing(filled.connect()) as admin:
        for _ in range(2):
            admin.execute(f"{bare} VALUES (%s, 'bare', 'b', 'x', NULL)", [OWNER])
        try:
            times = direct.read(url, query(), owner=owner)["created_at"]
            assert [time is None for time in times.to_pylist()] == [False] * 120 + [True] * 2
            for limit, rows in ((120, 120), (121, 121), (500, 122)):
                table = direct.read(url, query(limit=limit), owner=owner)
                assert (table.num_rows, table["created_at"].null_count) == (rows, rows - 120)
            assert direct.read(url, query(prompt="bare"), owner=owner).num_rows == 2
            assert direct.read(url, query(since="100 days"), owner=owner).num_rows == 120
        finally:
            admin.execute("DELETE FROM imagen.images WHERE created_at IS NULL")


def test_with_the_database_alone_everybodys_rows_come(filled: Database) -> None:
    table = direct.read(SecretStr(_as_superuser(filled)), query())
    assert set(table["owner_user_id"].to_pylist()) == {OWNER, STRANGER}
    assert table["sidecar"].null_count == table.num_rows == 240
    (text,) = direct.read(
        SecretStr(_as_superuser(filled)), query(limit=1), owner=uuid.UUID(OWNER), sidecar=True
    )["sidecar"].to_pylist()
    assert json.loads(text)["versions"] == {"torch": "2.13.0"}


WRONG = {
    "nobody listens": ("postgresql://me:{secret}@127.0.0.1:1/x", Unreachable),
    "no such host": ("postgresql://me:{secret}@nowhere.invalid/x", Unreachable),
    "no URL": ("{secret}", CloudError),
    "an @ in the password": ("postgresql://me:{secret}@@127.0.0.1/x", CloudError),
    "the wrong password": ("postgresql://migrator:{secret}@127.0.0.1:{port}/hosted", Unreachable),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_goes_wrong_is_one_line_without_the_password(filled: Database, case: str) -> None:
    form, kind = WRONG[case]
    url = form.format(secret="hunter2secret", port=filled.cluster.port)
    with pytest.raises(kind) as error:
        direct.read(SecretStr(url), query())
    assert "hunter2secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_table_is_refused_with_what_to_do() -> None:
    with fresh_database() as database, pytest.raises(Refused, match="imagen db migrate"):
        direct.read(SecretStr(_as_superuser(database)), query())


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(direct, "_DRIVERS", ("no_such_driver",))
    settings = {
        "output": {"dir": str(tmp_path)},
        "supabase": {"database_url": "postgresql://me:x@127.0.0.1:1/x"},
    }
    with Studio(settings) as studio, pytest.raises(UsageError, match=r'imagen_nb\[postgres\]"'):
        studio.history(source="cloud")
