"""A session with a Supabase: renders are never slowed nor failed, pictures arrive all the same."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import imagen_nb as im
from imagen_nb.cli import run
from imagen_nb.cloud import uplink
from imagen_nb.errors import UsageError
from tests.fixtures.fault_proxy import FAULTS, FaultProxy
from tests.fixtures.server_state import ServerState, assert_nothing_lost

Configure = Callable[..., dict[str, Any]]


@pytest.fixture
def configured(folder: Path, proxy: FaultProxy, local_supabase: Any) -> Configure:
    """Settings for a small quick picture, and for the server behind the proxy."""

    def settings(cloud_sync: str = "auto", *, server: bool = True, **more: Any) -> dict[str, Any]:
        account = {"url": proxy.url, "key": local_supabase.service_key, "exit_seconds": 20, **more}
        return {
            "backend": "flux-tiny-local",
            "steps": 1,
            "width": 64,
            "height": 64,
            "output": {"dir": str(folder), "cloud_sync": cloud_sync},
            "owner_user_id": str(local_supabase.user_id) if server else None,
            "supabase": account if server else {},
        }

    return settings


def wait_until(done: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_picture_goes_up_by_itself_and_its_row_tells_all(
    configured: Configure, folder: Path, server: ServerState, local_supabase: Any
) -> None:
    with im.Studio(configured()) as studio:
        picture = studio.generate("a red boat", seed=3, tags=["try"])
        wait_until(lambda: picture.cloud == "synced")
    assert_nothing_lost([folder], server, 1)
    (row,) = server.rows()
    sidecar = json.loads(picture.sidecar_path.read_text())
    assert row["sidecar"] == sidecar
    assert {name: row[name] for name in ("id", "prompt", "prompt_hash", "seed", "tags")} == {
        "id": str(picture.record.id),
        "prompt": "a red boat",
        "prompt_hash": hashlib.sha256(b"a red boat").hexdigest(),
        "seed": 3,
        "tags": ["try"],
    }
    assert row["owner_user_id"] == str(local_supabase.user_id)
    assert row["storage_path"] == f"{picture.path.name[:10]}/a-red-boat-3.png"


def test_who_signs_in_with_a_password_has_a_folder_of_their_own(
    configured: Configure, folder: Path, server: ServerState, local_supabase: Any
) -> None:
    settings = configured(
        key=local_supabase.anon_key, email=local_supabase.email, password=local_supabase.password
    )
    with im.Studio(settings, background=False) as studio:
        picture = studio.generate("a red boat", seed=3)
        assert studio.sync().synced == 1
    assert_nothing_lost([folder], server, 1)
    (row,) = server.rows()
    user = str(local_supabase.user_id)
    assert row["storage_path"] == f"{user}/{picture.path.name[:10]}/a-red-boat-3.png"


@pytest.mark.parametrize("how", ["argument", "setting"])
def test_with_the_cloud_off_there_is_no_client(
    how: str, configured: Configure, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a worker or client was made")

    monkeypatch.setattr(uplink, "Worker", refuse)
    monkeypatch.setattr(uplink, "Cloud", refuse)
    settings = configured("off" if how == "setting" else "auto")
    with im.Studio(settings) as studio:
        picture = studio.generate("a red boat", seed=3, cloud=False if how == "argument" else None)
    assert picture.cloud == "off"
    assert picture.record.cloud is False
    assert proxy.requests == []


def test_private_pictures_never_go_up_unless_they_are_named(
    configured: Configure, folder: Path, server: ServerState
) -> None:
    with im.Studio(configured(), background=False) as studio:
        private = studio.generate("a red boat", seed=3, cloud=False)
        other = studio.generate("a red boat", seed=4, cloud=False)
        assert studio.sync().synced == 0
        assert studio.sync(include_private=[private]).synced == 1
        assert (private.cloud, other.cloud) == ("synced", "off")
    (row,) = server.rows()
    assert row["id"] == str(private.record.id)


def test_without_credentials_auto_is_silent_and_on_says_so_each_time(
    configured: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    with im.Studio(configured("auto", server=False)) as studio:
        picture = studio.generate("a red boat", seed=3)
        assert picture.cloud == "pending"
        assert list(studio.pending()["state"]) == ["pending"]
        with pytest.raises(UsageError, match="no Supabase is configured"):
            studio.sync()
    assert capsys.readouterr().err == ""
    with im.Studio(configured("on", server=False)) as studio:
        for seed in (4, 5):
            studio.generate("a red boat", seed=seed)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert all("no Supabase is configured" in line for line in said)


def test_an_outage_is_said_once_and_fails_no_render(
    configured: Configure,
    folder: Path,
    proxy: FaultProxy,
    server: ServerState,
    capsys: pytest.CaptureFixture[str],
) -> None:
    proxy.down = True
    with im.Studio(configured(exit_seconds=0)) as studio:
        pictures = []
        for seed in range(3):
            pictures.append(studio.generate("a red boat", seed=seed))
            time.sleep(1.2)  # time enough for the worker to try
        wait_until(lambda: bool(studio.waiting()[0].cloud_error))
        assert [picture.cloud for picture in pictures] == ["pending"] * 3
        proxy.down = False
        assert studio.sync().pending == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "cloud sync" in line]
    assert len(said) == 1
    assert "cannot be reached" in said[0]
    assert_nothing_lost([folder], server, 3)


def test_nothing_is_sent_while_pictures_are_drawn(
    configured: Configure, proxy: FaultProxy, server: ServerState
) -> None:
    asked: list[int] = []
    with im.Studio(configured()) as studio:
        for seed in range(6):
            studio.generate(
                "a red boat", seed=seed, progress=lambda step: asked.append(len(proxy.requests))
            )
        assert asked == [0] * 6
        wait_until(lambda: studio.catalog().counts()["synced"] == 6)


SCRIPT = """
import sys
import imagen_nb as im
im.configure(**eval(sys.argv[1]))
im.generate("a red boat", seed=3)
"""


def finish(
    python: Path, settings: dict[str, Any]
) -> tuple[subprocess.CompletedProcess[str], float]:
    began = time.monotonic()
    done = subprocess.run(
        [python, "-c", SCRIPT, repr(settings)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=180,
    )
    return done, time.monotonic() - began


def test_a_script_that_ends_gives_its_picture_a_few_seconds(
    configured: Configure, folder: Path, server: ServerState, quick_python: Path
) -> None:
    done, _ = finish(quick_python, configured())
    assert (done.returncode, done.stderr) == (0, "")
    assert_nothing_lost([folder], server, 1)


def test_a_script_that_ends_while_the_server_hangs_says_what_stays_pending(
    configured: Configure, folder: Path, proxy: FaultProxy, quick_python: Path
) -> None:
    from dataclasses import replace

    proxy.choose = lambda method, path: replace(FAULTS["hang"], hang=30)
    done, _ = finish(quick_python, configured(exit_seconds=0.2))
    assert done.returncode == 0
    assert "1 picture still pending: `imagen sync` sends it" in done.stderr


@pytest.fixture
def config(tmp_path: Path, configured: Configure) -> str:
    file = tmp_path / "imagen.yaml"
    file.write_text(json.dumps(configured()))  # JSON is YAML
    file.chmod(0o600)
    return str(file)


def test_the_command_waits_for_its_picture_and_says_where_it_is(
    config: str, folder: Path, server: ServerState, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["generate", "a red boat", "--seed", "3", "--config", config]) == 0
    path, sidecar, cloud = capsys.readouterr().out.splitlines()
    (row,) = server.rows()
    assert path.endswith("-a-red-boat-3.png")
    assert sidecar == f"sidecar: {path}.json"
    assert cloud == f"cloud: imagen.images.id={row['id']} storage_path={row['storage_path']}"
    assert run(["sync", "--verify", "--config", config]) == 0
    assert "1 of 1 copies, read back by signed URLs" in capsys.readouterr().out
    server.client.storage.from_("imagen-generated").remove([row["storage_path"]])
    assert run(["sync", "--verify", "--config", config]) == 1
    assert "no object" in capsys.readouterr().err


def test_the_command_keeps_the_picture_when_the_server_is_down(
    config: str,
    folder: Path,
    proxy: FaultProxy,
    server: ServerState,
    capsys: pytest.CaptureFixture[str],
) -> None:
    proxy.down = True
    assert run(["generate", "a red boat", "--seed", "3", "--config", config]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 2
    assert "imagen: cloud sync: Supabase cannot be reached" in said.err
    assert run(["sync", "--dry-run", "--json", "--config", config]) == 0
    (waiting,) = json.loads(capsys.readouterr().out)
    assert (waiting["state"], "cannot be reached" in waiting["error"]) == ("pending", True)
    assert run(["status", "--json", "--config", config]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["pictures"]["pending"] == 1
    assert "cannot be reached" in status["last errors"][0]
    assert run(["sync", "--config", config]) == 1
    capsys.readouterr()
    proxy.down = False
    assert run(["sync", "--json", "--config", config]) == 0
    assert json.loads(capsys.readouterr().out)["synced"] == 1
    assert_nothing_lost([folder], server, 1)


def test_a_timeout_that_is_none_is_refused(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sync", "--timeout", "-1", "--config", config]) == 2
    assert "timeout must be 0 seconds or more" in capsys.readouterr().err


def test_the_command_without_the_cloud_says_nothing_of_it(
    config: str, proxy: FaultProxy, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["generate", "a red boat", "--seed", "3", "--config", config, "--no-cloud"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 2
    assert said.err == ""
    assert proxy.requests == []


def test_validate_online_asks_the_server(
    config: str, server: ServerState, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["config", "validate", "--online", "--config", config]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "bucket and its policies: good" in said.out
    assert server.rows() == []
    assert [*server.objects()] == []


def test_validate_online_as_a_user_asks_whether_strangers_are_kept_out(
    tmp_path: Path,
    configured: Configure,
    local_supabase: Any,
    server: ServerState,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "imagen.yaml"
    settings = configured(
        key=local_supabase.anon_key, email=local_supabase.email, password=local_supabase.password
    )
    file.write_text(json.dumps(settings))
    file.chmod(0o600)
    assert run(["config", "validate", "--online", "--config", str(file)]) == 0
    assert capsys.readouterr().err == ""
    assert server.rows() == []
    assert [*server.objects()] == []


def test_validate_online_says_what_a_wrong_key_means(
    tmp_path: Path, configured: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "imagen.yaml"
    file.write_text(json.dumps(configured(key="sb_secret_wrong")))
    file.chmod(0o600)
    assert run(["config", "validate", "--online", "--config", str(file)]) == 1
    said = capsys.readouterr()
    assert "supabase.key" in said.err
    assert "sb_secret_wrong" not in said.err + said.out


class TestServersThatGiveFewRowsInOneAnswer:
    """PostgREST's db-max-rows cuts an answer short with HTTP 200 and says nothing of it."""

    def test_every_copy_is_compared(
        self, configured: Configure, proxy: FaultProxy, server: ServerState
    ) -> None:
        with im.Studio(configured(), background=False) as studio:
            studio.sweep("a red boat", seeds=range(5))
            assert studio.sync().synced == 5
            proxy.max_rows = 2
            assert studio.verify() == []

    def test_pictures_of_another_machine_are_tagged(
        self, configured: Configure, proxy: FaultProxy, server: ServerState, tmp_path: Path
    ) -> None:
        with im.Studio(configured(), background=False) as elsewhere:
            ids = list(elsewhere.sweep("a red boat", seeds=range(5)).frame()["id"])
            elsewhere.sync()
        proxy.max_rows = 2
        here = configured() | {"output": {"dir": str(tmp_path / "here")}}
        with im.Studio(here, background=False) as studio:
            assert studio.tag(ids, "seen") == 5
            assert studio.sync().tagged == 5
        assert [row["tags"] for row in server.rows()] == [["seen"]] * 5
