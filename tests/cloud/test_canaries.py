"""Secrets go through every command, error and fault: nothing written or printed has one.

The sidecars, catalogs, notebooks and pages that commands write, home and caches, and all that is
printed are searched for each secret in any spelling.
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from tenacity import wait_none

import imagen_nb as im
from imagen_nb.cli import app, run
from imagen_nb.cloud import connection
from imagen_nb.cloud.account import Session
from imagen_nb.storage.catalog import Catalog
from tests.fixtures.canaries import leaks, spellings, sung
from tests.fixtures.fault_proxy import FAULTS, Fault, FaultProxy
from tests.fixtures.other_servers import Heard, Said, server_that_answers, session_text
from tests.fixtures.pictures import render
from tests.fixtures.supabase_fixtures import TwoUsers, settings

CANARIES = {
    "key": "sb_secret_Canary/1'2+3=Tweet",
    "password": 'canary "hunter2" & <pass> ä\\word',
    "token": "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOiJ0d2VldCJ9.Y2FuYXJ5LXNpZ25hdHVyZQ",
    "refresh token": "canary-refresh-0123456789",
    "database password": "canary-database-0123456789",
    "Replicate's token": "r8_CanaryOfReplicate0123456789",
    "password of an address": "canary-address-0123456789",
}
DATABASE_URL = f"postgresql://me:{CANARIES['database password']}@127.0.0.1:9/postgres"
_NAMES = ("message", "msg", "error", "error_description", "detail", "title", "hint", "details")


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_backoff", wait_none())
    monkeypatch.setattr(connection, "_MAX_RETRY_AFTER_S", 0.5)
    hasty = connection.TimeoutPolicy(httpx.Timeout(1.0), 2)
    monkeypatch.setattr(connection, "SENDER_TIMEOUTS", hasty)
    monkeypatch.setattr("imagen_nb.cloud.uplink.READER_TIMEOUTS", hasty)


# Every command, with {places}; some go wrong on purpose.
COMMANDS: dict[str, list[str]] = {
    "generate": [
        "generate 'a boat' --seed 1",
        "generate 'a boat' --backend flux-dev-replicate --width 512 --height 512",
        "generate 'a boat' --steps -1",
    ],
    "sweep": ["sweep 'a {{red|blue}} boat' --seeds 5"],
    "batch": ["batch {jobs} -o {folder}/runs --dry-run", "batch {config} -o {folder}/runs"],
    "history": [
        "history",
        "history --source cloud",
        "history --source merged --format csv --sidecar",
        "history --json",
        "history --source cloud --config {direct}",
    ],
    "find": [
        "find 'a boat' --embedder tiny",
        "find {picture} --embedder tiny --source local --json",
        "find 'a boat' --embedder {folder}/secret --source cloud",
    ],
    "embed": ["embed --embedder tiny --json", "embed --embedder {config}"],
    "report": ["report -o {folder}/report.html", "report -o {folder}/x/y.html"],
    "reproduce": ["reproduce {id}", "reproduce 00000000-0000-4000-8000-000000000009"],
    "tag": ["tag {id} --add keeper", "tag 00000000-0000-4000-8000-000000000009 --add keeper"],
    "adopt": ["adopt {config} --json", "adopt {elsewhere} --dry-run"],
    "vote": [
        "vote {id} 00000000-0000-4000-8000-000000000009 left",
        "vote --import {jobs}",
        "vote --take-back 00000000",
    ],
    "votes": ["votes", "votes --format csv", "votes --source cloud --json"],
    "delete": ["delete {id} --yes", "delete 00000000-0000-4000-8000-000000000009 --yes"],
    "restore": ["restore", "restore {id}", "restore 00000000-0000-4000-8000-000000000009"],
    "train-lora": ["train-lora {folder} --steps 1", "train-lora {config} --output {folder}/x.pt"],
    "models": ["models", "models --json", "models --plan flux-schnell-local"],
    "bench-gpu": ["bench-gpu"],
    "doctor": ["doctor --online --json", "doctor --config {bad}"],
    "mcp": [],  # speaks over stdin and stdout: tests/cli/test_mcp.py, tests/studio/agents/
    "sync": ["sync", "sync --dry-run", "sync --verify --json", "sync --dry-run --json"],
    "jobs list": ["jobs", "jobs list", "jobs list --state failed -n 3 --json"],
    "jobs cancel": ["jobs cancel --all", "jobs cancel 00000000"],
    "jobs prune": ["jobs prune --older 30d", "jobs prune --older soon --json"],
    "work": ["work --once", "work --once --json --backends no-such"],
    "status": ["status", "status --json"],
    "reindex": ["reindex {folder}"],
    "config init": ["config init --config {config}", "config init --config {folder}/x.yaml"],
    "config validate": ["config validate", "config validate --online"],
    "verify": ["verify {picture}", "verify {config} {folder}"],
    "config provenance": [
        "config provenance --config {config}",
        "config provenance --config {folder}/signs.yaml",
        "generate 'a boat' --config {folder}/signs.yaml --output {folder}",
    ],
    "config show": ["config show", "config show --json", "config show --config {bad}"],
    "db migrate": ["db migrate", "db migrate --config {bad}"],
    "db status": ["db status", "db status --database-url {database_url}"],
    "supabase start": ["supabase start --database-url {database_url} --folder {folder}/local"],
    "supabase stop": ["supabase stop --folder {folder}/local"],
    "supabase status": ["supabase status --folder {folder}/local"],
}


_WITHOUT_CONFIG = ("supabase", "reindex", "models", "verify")


def command_names(group: Any, before: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from command_names(command, f"{before}{name} ")
        else:
            yield f"{before}{name}"


def test_every_command_is_in_the_table() -> None:
    assert set(command_names(typer.main.get_command(app))) == set(COMMANDS)


def test_a_canary_is_heard_in_every_spelling() -> None:
    secret = 'a "b" & <c> ä\\d 0123456789'
    for spelling in spellings(secret):
        assert sung([secret], b"so: " + spelling + b".") == [secret]
    assert sung([secret], b"a b c d") == []


@dataclass
class Place:
    """A home with a configuration full of secrets, and folders that commands write to."""

    root: Path
    config: Path
    words: dict[str, str]

    def tell(self, *names: str) -> None:
        """Run these commands, and look at all that they leave; errors are welcome."""
        for name in names or COMMANDS:
            for line in COMMANDS[name]:
                arguments = [word.format(**self.words) for word in shlex.split(line)]
                own = "--config" in arguments or arguments[0] in _WITHOUT_CONFIG
                run(arguments if own else [*arguments, "--config", str(self.config)])

    def assert_silent(self, secrets: dict[str, str], printed: str) -> None:
        """Nothing that was printed or written has one of the secrets."""
        assert [name for name, one in secrets.items() if sung([one], printed.encode())] == []
        state = self.root / "pictures" / "local" / "state.json"  # for its owner alone, as these
        files = [self.config, *self.root.glob("*.yaml"), state]
        assert not [path for path in files if path.exists() and path.stat().st_mode & 0o077]
        assert leaks(secrets.values(), self.root, Path.home(), without=files) == []


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], Place]:
    """Makes one of an account."""

    def made(account: dict[str, Any], **more: Any) -> Place:
        root = tmp_path / "place"
        folder = root / "pictures"
        folder.mkdir(parents=True)
        monkeypatch.chdir(root)
        render(folder, 2)
        drawing = {"backend": "flux-tiny-local", "steps": 1, "width": 64, "height": 64}
        values = drawing | {"output": {"dir": str(folder)}, "supabase": account} | more
        jobs = root / "jobs.jsonl"
        jobs.write_text('{"prompt": "a boat", "seed": 1}')
        (picture,) = Catalog(folder).latest(1)
        words = {"folder": str(folder), "jobs": str(jobs), "id": str(picture.record.id)}
        words["picture"] = str(picture.path)
        words["elsewhere"] = str(root / "elsewhere")
        render(root / "elsewhere", 1)
        address = f"https://me:{CANARIES['password of an address']}@x.supabase.co"
        files = {
            "config": values,
            "direct": values | {"supabase": {**account, "database_url": DATABASE_URL}},
            "bad": values | {"supabase": {**account, "url": address}},
        }
        for name, content in files.items():
            file = root / f"{name}.yaml"
            file.write_text(json.dumps(content))  # JSON is YAML
            file.chmod(0o600)
            words[name] = str(file)
        return Place(root, root / "config.yaml", words | {"database_url": DATABASE_URL})

    return made


@contextmanager
def echo(status: int, shape: str, *, signs_in: bool = True) -> Iterator[str]:
    """A server whose answers hold all that it was sent; `signs_in`: but for the sign-in."""
    session = session_text(CANARIES["token"], CANARIES["refresh token"])

    def answer(heard: Heard) -> Said:
        if signs_in and heard.path.startswith("/auth/"):
            return Said(200, "application/json", session.encode())
        text = f"{heard.path} {dict(heard.headers)} {heard.body.decode(errors='replace')}"
        text = f"{heard.headers.get('apikey')} {heard.headers.get('authorization')} {text}"
        return Said(status, "application/json", _shaped(text, shape, status).encode())

    with server_that_answers(answer) as url:
        yield url


def _shaped(heard: str, shape: str, status: int) -> str:
    if shape == "a page":
        return f"<html>{heard}</html>"
    if shape == "a quoted text":
        return json.dumps(repr(heard.encode()))
    codes = {"code": heard, "statusCode": heard, "error_code": heard}
    if shape == "known codes":
        codes = {"code": "PGRST301", "statusCode": str(status), "error_code": "x"}
    return json.dumps(dict.fromkeys(_NAMES, heard) | codes)


_SHORT = {
    (200, "a page", True),
    (200, "a page", False),
    (400, "texts", True),
    (401, "known codes", False),
    (422, "a quoted text", True),
}
ECHOES = [
    pytest.param(*echo, marks=() if echo in _SHORT else pytest.mark.soak)
    for shape in ("a page", "a quoted text", "texts", "known codes")
    for status in (200, 400, 401, 409, 422, 500)
    for signs_in in (True, False)
    for echo in [(status, shape, signs_in)]
]


def account_at(url: str) -> dict[str, Any]:
    return {
        "url": url,
        "key": CANARIES["key"],
        "email": "me@here",
        "password": CANARIES["password"],
        "exit_seconds": 0,
    }


@pytest.mark.parametrize(("status", "shape", "signs_in"), ECHOES)
def test_a_server_that_says_back_what_it_was_sent_makes_nobody_tell_it(
    status: int,
    shape: str,
    signs_in: bool,
    place: Callable[..., Place],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with echo(status, shape, signs_in=signs_in) as url:
        monkeypatch.setenv("REPLICATE_BASE_URL", url)
        at = place(account_at(url), replicate={"api_token": CANARIES["Replicate's token"]})
        at.tell("history", "sync", "tag", "reproduce", "config validate", "status", "report")
        if signs_in and shape == "texts":
            at.tell("generate")
    said = capfd.readouterr()
    assert "imagen:" in said.err
    at.assert_silent(CANARIES, said.out + said.err)


def test_every_command_keeps_its_secrets_when_nobody_answers(
    place: Callable[..., Place],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nowhere = "http://127.0.0.1:9"
    monkeypatch.setenv("REPLICATE_BASE_URL", nowhere)
    monkeypatch.setenv("SUPABASE_DB_URL", DATABASE_URL)
    # No Node: `imagen supabase start` shall install nothing.
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("imagen_nb.cloud.local.node._packaged_node", lambda: None)
    at = place(account_at(nowhere), replicate={"api_token": CANARIES["Replicate's token"]})
    at.tell()
    said = capfd.readouterr()
    at.assert_silent(CANARIES, said.out + said.err)


@pytest.mark.parametrize(
    "variable", ["SUPABASE_URL", "SUPABASE_KEY", "IMAGEN_SUPABASE_PASSWORD", "SUPABASE_DB_URL"]
)
def test_so_it_does_when_the_environment_has_what_cannot_be_used(
    variable: str,
    place: Callable[..., Place],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = CANARIES["password of an address"]
    monkeypatch.setenv(variable, f"https://me:{secret}@x\x01.supabase.co")
    at = place({})
    at.tell("status", "config show", "history", "db status", "sync")
    said = capfd.readouterr()
    assert f"${variable}: " in said.err
    at.assert_silent(CANARIES, said.out + said.err)


def test_a_backends_token_that_is_a_list_is_not_shown(
    place: Callable[..., Place], capfd: pytest.CaptureFixture[str]
) -> None:
    token = CANARIES["Replicate's token"]
    at = place({}, backend={"type": "flux-dev-replicate", "api_token": [token]})
    at.tell("status", "config show", "config validate")
    said = capfd.readouterr()
    assert "`api_token` in it is text" in said.err
    at.assert_silent(CANARIES, said.out + said.err)


def test_what_objects_show_in_a_notebook_has_no_secret(tmp_path: Path) -> None:
    values = {
        "supabase": account_at("http://127.0.0.1:9") | {"database_url": DATABASE_URL},
        "backend": {"type": "flux-dev-replicate", "api_token": CANARIES["Replicate's token"]},
        "output": {"dir": str(tmp_path)},
    }
    with im.Studio(values, background=False) as studio:
        shown = [repr(studio), repr(studio.settings), str(studio.settings), repr(studio.reader())]
        shown += [repr(vars(studio)), studio.settings.model_dump_json()]
    assert sung(CANARIES.values(), "\n".join(shown).encode()) == []


def _faulty(name: str, which: str) -> Callable[[str, str], Fault | None]:
    """The fault of this name, on so many of the requests."""
    turn = itertools.count()
    chosen: dict[str, Callable[[str], object]] = {
        "two of three": lambda path: next(turn) % 3,
        "all but the sign-in": lambda path: "/auth/" not in path,
        "all": lambda path: True,
    }
    return lambda method, path: FAULTS[name] if chosen[which](path) else None


@pytest.mark.parametrize(
    ("fault", "which"),
    [
        pytest.param(
            *case, marks=() if case == ("401", "all but the sign-in") else pytest.mark.soak
        )
        for case in itertools.product(FAULTS, ("two of three", "all but the sign-in", "all"))
    ],
)
def test_no_fault_on_the_way_to_a_real_supabase_makes_anybody_tell_its_secrets(
    fault: str,
    which: str,
    local_supabase: TwoUsers,
    proxy: FaultProxy,
    place: Callable[..., Place],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokens: list[str] = []
    really = connection.sign_in

    def noting(*arguments: Any) -> Session:
        session = really(*arguments)
        if session.token:
            tokens.append(session.token.get_secret_value())
        return session

    monkeypatch.setattr(connection, "sign_in", noting)
    account = settings(Path("x"), local_supabase, proxy.url)["supabase"]
    at = place(account | {"exit_seconds": 0})
    at.tell("sync", "history")
    proxy.choose = _faulty(fault, which)
    at.tell("sync", "history", "tag", "reproduce", "config validate", "report")
    assert tokens
    secrets = {
        "the key": local_supabase.anon_key,
        "the secret key": local_supabase.service_key,
        "the password": local_supabase.password,
        **{f"token {number}": token for number, token in enumerate(tokens)},
    }
    said = capfd.readouterr()
    at.assert_silent(secrets, said.out + said.err)


@pytest.mark.usefixtures("quick_kernels")
def test_a_batch_leaves_no_secret_in_its_notebooks_and_pages(
    place: Callable[..., Place],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with echo(401, "texts") as url:
        at = place(account_at(url), replicate={"api_token": CANARIES["Replicate's token"]})
        monkeypatch.setenv("SUPABASE_DB_URL", DATABASE_URL)
        arguments = ["batch", at.words["jobs"], "-o", f"{at.root}/runs", "--config", str(at.config)]
        assert run(arguments) == 0
    said = capfd.readouterr()
    assert (at.root / "runs" / "results.csv").exists()
    at.assert_silent(CANARIES, said.out + said.err)
    assert os.environ["SUPABASE_DB_URL"] == DATABASE_URL
