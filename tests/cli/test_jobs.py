"""`imagen jobs`, and drawing elsewhere by the command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagen_nb.cli import run
from imagen_nb.storage.catalog import Catalog
from tests.fixtures.server_state import ServerState
from tests.fixtures.stand_in_worker import forget_jobs, stand_in
from tests.fixtures.supabase_fixtures import TwoUsers, settings

Said = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def imagen(
    server: ServerState,
    local_supabase: TwoUsers,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Said:
    """Runs a command with the configuration of a laptop; its exit code, stdout and stderr."""
    forget_jobs(server)
    config = tmp_path / "imagen.yaml"
    config.write_text(json.dumps(settings(folder, local_supabase)))

    def said(line: str) -> tuple[int, str, str]:
        code = run([*shlex.split(line), "--config", str(config)])
        return code, *capsys.readouterr()

    return said


def queued(local_supabase: TwoUsers, folder: Path, *prompts: str) -> list[str]:
    """Ids of jobs of these prompts."""
    import imagen_nb as im

    with im.Studio(settings(folder, local_supabase), background=False) as studio:
        return [
            str(studio.generate(one, backend="remote:flux-tiny-local", wait=False).id)
            for one in prompts
        ]


def test_jobs_are_listed_cancelled_and_pruned(
    imagen: Said, local_supabase: TwoUsers, folder: Path
) -> None:
    first, second, _ = queued(local_supabase, folder, "a boat", "a \x1b[31mhouse", "a tree")
    code, out, _ = imagen("jobs list")
    assert code == 0
    assert out.count("waiting") == 3
    assert "\x1b" not in out
    assert imagen(f"jobs cancel {first[:8]} {second}")[1] == "2 of 2 jobs cancelled\n"
    code, out, _ = imagen("jobs list --state cancelled -n 1 --json")
    (row,) = json.loads(out)
    assert (row["id"], row["state"], row["backend"]) == (second, "cancelled", "flux-tiny-local")
    assert imagen("jobs prune --older 1h --json")[1] == '{"pruned": 0}\n'
    assert imagen("jobs prune --older now")[1] == "2 jobs deleted\n"
    assert json.loads(imagen("jobs cancel --all --json")[1])
    assert json.loads(imagen("jobs list --state waiting --json")[1]) == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("jobs --json cancel --all", "options stand after cancel"),
        ("jobs cancel", "name jobs to cancel, or give --all"),
        ("jobs cancel 00000000", "'00000000' is the id of no unfinished jobs"),
        ("jobs list --state lost", "a state is one of waiting, drawing"),
        ("jobs prune --older soon", "--older must be a date"),
        ("jobs prune --older 2099-01-01", "--older must be a time that is over"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(imagen: Said, line: str, why: str) -> None:
    code, out, said = imagen(line)
    assert (code, out) == (2, "")
    assert why in said


def test_the_command_draws_elsewhere(
    imagen: Said, local_supabase: TwoUsers, folder: Path, tmp_path: Path
) -> None:
    with stand_in(settings(tmp_path / "box", local_supabase)) as box:
        code, out, said = imagen(
            "generate 'a boat' --backend remote --seed 3 --count 2 --steps 1"
            " --width 64 --height 64 --json"
        )
        assert code == 0, said
        drawn: list[dict[str, Any]] = json.loads(out)
        again = imagen(f"reproduce {drawn[0]['id']} --backend remote")
        assert (again[0], "identical: yes" in again[1]) == (0, True), again
        code, out, said = imagen("jobs")
        assert out.count("attic") == 3
        assert "attic, seen " in said
    assert [one["seed"] for one in drawn] == [3, 4]
    assert len(box.sent) == 3
    assert Catalog(folder).counts()["synced"] == 3
