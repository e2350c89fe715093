"""with_usage: the usage that another program wrote down, whatever it calls its columns."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest

from imagen_nb.cloud import local
from imagen_nb.cloud.local import LocalSupabase
from imagen_nb.errors import CloudError, UsageError
from imagen_nb.frames.sources.usage import usage_columns_of
from imagen_nb.studio.studio import Studio
from tests.fixtures.fault_proxy import FaultProxy
from tests.fixtures.postgres import cluster
from tests.fixtures.supabase_fixtures import npm_as_at_home

Session = Callable[[Studio], Studio]
PROMPTS = [f"a boat, number {number}" for number in range(120)]
TABLES = {
    "telemetry": """
        CREATE TABLE mai.imagen_usage (
          id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz DEFAULT now(),
          prompt_hash text NOT NULL, model text, cost_usd numeric(12, 6), cost_center text
        );
        INSERT INTO mai.imagen_usage (prompt_hash, cost_usd, cost_center)
        SELECT hash, cost, 'art' FROM given""",
    "another": """
        CREATE TABLE mai.imagen_usage (
          "sha256_of_prompt" varchar(64), "totalCost" double precision, cost_eur real, payload jsonb
        );
        INSERT INTO mai.imagen_usage SELECT hash, cost, 9, '{"cost": 1}' FROM given""",
}


def sha256(prompt: str) -> str:
    return hashlib.sha256(prompt.encode()).hexdigest()


def given() -> list[tuple[str, float | None]]:
    """Prompt n was used n times at 0.25 each, number 3 at no known cost, number 7 very often."""
    uses = [(number, 0.25) for number in range(2, 100) for _ in range(number)]
    often = [(7, 0.25)] * 2500
    rows = [*((n, cost) for n, cost in uses if n != 3), *often, *[(3, None)] * 3]
    return [(sha256(PROMPTS[number]), cost) for number, cost in rows]


_numbers = itertools.count(1)


@contextmanager
def database(table: str | None) -> Iterator[str]:
    """The URL of a database with (or without) such a table."""
    name = f"usage_{next(_numbers)}"
    with cluster().connect("postgres") as admin:
        admin.execute(f"CREATE ROLE {name} SUPERUSER LOGIN PASSWORD 'p@ss'")
        admin.execute(f"CREATE DATABASE {name} OWNER {name}")
        url = f"postgresql://{name}:p%40ss@127.0.0.1:{cluster().port}/{name}"
        try:
            with psycopg.connect(url) as connection:
                if table:
                    _fill(connection, name, table)
            yield url
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
            admin.execute(f"DROP ROLE {name}")
            admin.execute("ALTER ROLE authenticator RESET ALL")


def _fill(connection: psycopg.Connection, name: str, table: str) -> None:
    connection.execute("CREATE SCHEMA mai")
    connection.execute("CREATE TEMPORARY TABLE given (hash text, cost numeric)")
    with connection.cursor() as cursor, cursor.copy("COPY given FROM STDIN") as copy:
        for row in given():
            copy.write_row(row)
    connection.execute(table.encode())
    connection.execute("GRANT USAGE ON SCHEMA mai TO authenticated, service_role")
    connection.execute("GRANT SELECT ON mai.imagen_usage TO service_role")
    connection.execute(
        f"ALTER ROLE authenticator IN DATABASE {name} SET pgrst.db_schemas = 'public,mai'"
    )


@pytest.fixture(scope="module", params=TABLES)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalSupabase]:
    """A Supabase on a real PostgreSQL, with the table in it under one of the namings."""
    folder = tmp_path_factory.mktemp("usage")
    with database(TABLES[request.param]) as url:
        try:
            with npm_as_at_home():
                yield local.start(folder, database_url=url, with_parent=True)
        finally:
            local.stop(folder)


def through_the_api(supabase: LocalSupabase, url: str | None = None) -> dict[str, Any]:
    account = {"url": url or supabase.url, "key": supabase.service_key}
    return {"supabase": account, "owner_user_id": supabase.user_id}


def straight(supabase: LocalSupabase) -> dict[str, Any]:
    return {"supabase": {"database_url": supabase.database_url}}


@pytest.fixture
def frame() -> pd.DataFrame:
    """Prompts newest first, some of them twice, one unknown."""
    prompts = [*reversed(PROMPTS), *PROMPTS[:5]]
    frame = pd.DataFrame({"prompt": prompts, "prompt_hash": [sha256(p) for p in prompts]})
    frame.loc[len(frame)] = {"prompt": "no hash", "prompt_hash": None}
    return frame.set_axis([f"row {n}" for n in range(len(frame))])


def require_joined(frame: pd.DataFrame, joined: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(joined[[*frame.columns]], frame)
    assert [*joined.columns] == [*frame.columns, "uses", "usage_cost_usd"]
    assert [str(joined[name].dtype) for name in ("uses", "usage_cost_usd")] == ["Int64", "float64"]
    by_prompt = joined.drop_duplicates("prompt").set_index("prompt")
    uses = by_prompt["uses"].to_dict()
    expected = {prompt: number for number, prompt in enumerate(PROMPTS[:100])}
    expected |= dict.fromkeys([*PROMPTS[100:], PROMPTS[1], "no hash"], 0)
    assert uses == expected | {PROMPTS[7]: 2507}
    cost = by_prompt["usage_cost_usd"]
    assert cost[PROMPTS[7]] == 2507 * 0.25
    assert cost[PROMPTS[99]] == 99 * 0.25
    assert cost[[PROMPTS[3], PROMPTS[1], PROMPTS[110], "no hash"]].isna().all()


@pytest.mark.parametrize("way", [through_the_api, straight])
def test_usage_is_joined_whatever_the_columns_are_called(
    both: LocalSupabase,
    frame: pd.DataFrame,
    session: Session,
    folder: Path,
    way: Callable[[LocalSupabase], dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    session(Studio({"output": {"dir": str(folder)}, **way(both)}, background=False))
    require_joined(frame, frame.imagen.with_usage())
    assert capsys.readouterr().err == ""
    assert frame.iloc[:0].imagen.with_usage().empty


@pytest.mark.parametrize("cap", [1000, 100, 37])
def test_nothing_is_cut_off_under_any_cap_of_the_server(
    both: LocalSupabase, frame: pd.DataFrame, session: Session, folder: Path, cap: int
) -> None:
    with FaultProxy(both.url) as proxy:
        proxy.max_rows = cap
        session(Studio({"output": {"dir": str(folder)}, **through_the_api(both, proxy.url)}))
        require_joined(frame, frame.imagen.with_usage())


def test_the_table_is_only_read(
    both: LocalSupabase, frame: pd.DataFrame, session: Session, folder: Path
) -> None:
    with FaultProxy(both.url) as proxy:
        session(Studio({"output": {"dir": str(folder)}, **through_the_api(both, proxy.url)}))
        frame.imagen.with_usage()
        assert {method for method, _ in proxy.requests} == {"GET"}


def test_a_table_that_may_not_be_read_is_said(
    both: LocalSupabase, frame: pd.DataFrame, session: Session, folder: Path
) -> None:
    account = {
        "url": both.url,
        "key": both.anon_key,
        "email": both.email,
        "password": both.password,
    }
    session(Studio({"output": {"dir": str(folder)}, "supabase": account}, background=False))
    with pytest.raises(CloudError, match=r"no right to read mai\.imagen_usage") as error:
        frame.imagen.with_usage()
    assert "GRANT USAGE ON SCHEMA mai" in str(error.value)
    assert "imagen db migrate" not in str(error.value)  # it is another program's table


def test_where_there_is_no_table_that_is_said(
    frame: pd.DataFrame, session: Session, folder: Path, away: Studio
) -> None:
    with pytest.raises(CloudError, match="does not show the schema mai: add it"):
        frame.imagen.with_usage()
    with database(None) as url:
        session(Studio({"output": {"dir": str(folder)}, "supabase": {"database_url": url}}))
        with pytest.raises(CloudError, match=r"there is no table mai\.imagen_usage"):
            frame.imagen.with_usage()
    with pytest.raises(CloudError, match="cannot be reached") as error:
        frame.imagen.with_usage()
    assert "p@ss" not in str(error.value)
    assert "p%40ss" not in str(error.value)


def test_without_a_cloud_or_the_column_that_is_said(
    frame: pd.DataFrame, session: Session, folder: Path
) -> None:
    session(Studio({"output": {"dir": str(folder)}}))
    with pytest.raises(UsageError, match="no Supabase is configured"):
        frame.imagen.with_usage()
    with pytest.raises(UsageError, match="lacks prompt_hash"):
        frame[["prompt"]].imagen.with_usage()


@pytest.mark.parametrize(
    ("columns", "hash", "cost"),
    [
        ({"prompt_hash": False, "cost_usd": True}, "prompt_hash", "cost_usd"),
        ({"promptHash": False, "hash": False, "costUSD": True}, "promptHash", "costUSD"),
        ({"sha256": False, "total_cost": True, "cost_note": False}, "sha256", "total_cost"),
        ({"prompt_hash": False, "model_hash": False, "usd": True}, "prompt_hash", None),
        ({"prompt_hash": False, "cost_a": True, "cost_b": True}, "prompt_hash", None),
        ({"prompt_hash": False, "cost": True, "cost_usd": True}, "prompt_hash", "cost_usd"),
        ({"prompt_hash": False, "cost_eur": True}, "prompt_hash", None),
        ({"prompt_hash": False, "cost_usd_micros": True}, "prompt_hash", None),
    ],
)
def test_columns_are_found_by_their_names(
    columns: dict[str, bool], hash: str, cost: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    found = usage_columns_of(columns)
    assert (found.hash, found.cost) == (hash, cost)
    assert ("is left out" in capsys.readouterr().err) == (cost is None)


@pytest.mark.parametrize("columns", [{}, {"id": True}, {"hash": False, "other_hash": False}])
def test_no_column_of_hashes_is_said_with_those_that_are_there(columns: dict[str, bool]) -> None:
    with pytest.raises(CloudError, match=f"It has {', '.join(columns)}"):
        usage_columns_of(columns)
