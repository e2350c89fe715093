"""`imagen config validate`: what would keep pictures from the cloud, said before it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from imagen_nb.cli import run

GOOD = {
    "output": {"cloud_sync": "auto"},
    "supabase": {"url": "https://my.supabase.co", "key": "sb_secret_x"},
    "owner_user_id": str(uuid4()),
}


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """What validate says on stderr of a configuration like GOOD, and its exit code."""

    def said(mode: int = 0o600, **changed: Any) -> tuple[int, str]:
        file = tmp_path / "imagen.yaml"
        file.write_text(json.dumps({**GOOD, **changed}))
        file.chmod(mode)
        code = run(["config", "validate", "--config", str(file)])
        return code, capsys.readouterr().err

    return said


def test_a_good_configuration_is_good(said: Any) -> None:
    assert said() == (0, "")


@pytest.mark.parametrize("supabase", [{}, GOOD["supabase"]], ids=["none", "a Supabase"])
@pytest.mark.parametrize("sync", ["auto", "on"])
def test_an_owner_that_is_not_set_whether_a_supabase_is_configured_or_not(
    sync: str, supabase: dict[str, str], said: Any
) -> None:
    code, warning = said(owner_user_id=None, output={"cloud_sync": sync}, supabase=supabase)
    assert code == 0
    assert warning.startswith("imagen: owner_user_id is not set")
    assert "SELECT id, email FROM auth.users" in warning


def test_the_configuration_as_init_writes_it_lacks_the_owner_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "imagen.yaml")
    assert run(["config", "init", "--config", file]) == 0
    assert run(["config", "validate", "--config", file]) == 0
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("imagen: owner_user_id is not set")


def test_the_owners_older_name_counts_and_is_noted(said: Any) -> None:
    code, note = said(owner_user_id=None, imagen_user_id=GOOD["owner_user_id"])
    assert code == 0
    assert "imagen_user_id: the older name of owner_user_id, still read" in note
    assert "is not set" not in note


def test_no_owner_is_needed_when_sync_is_off_or_somebody_signs_in(said: Any) -> None:
    assert said(owner_user_id=None, output={"cloud_sync": "off"}) == (0, "")
    account = {**GOOD["supabase"], "email": "me@here", "password": "secret"}
    assert said(owner_user_id=None, supabase=account) == (0, "")


@pytest.mark.parametrize("url", ["my.supabase.co", "ftp://x", "https://", "http://[::1", "{x}"])
def test_an_address_that_is_none(url: str, said: Any) -> None:
    code, warning = said(supabase={"url": url, "key": "k"})
    assert (code, "supabase.url is no address" in warning) == (0, True)


def test_a_malformed_owner_is_named_with_file_and_line(said: Any) -> None:
    code, problem = said(owner_user_id="nobody")
    assert code == 1
    assert "imagen.yaml:1: owner_user_id: expected a UUID" in problem


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_secret_that_others_can_read(mode: int, said: Any, tmp_path: Path) -> None:
    code, warning = said(mode)
    assert code == 0
    assert f"chmod 600 {tmp_path / 'imagen.yaml'}" in warning
    assert "sb_secret_x" not in warning
    assert said(mode, supabase={"url": "https://my.supabase.co"})[1].count("chmod") == 0


@pytest.mark.parametrize(
    "part",
    [
        {"supabase": {"password": "hidden"}},
        {"supabase": {"database_url": "postgresql://u:hidden@h/db"}},
        {"replicate": {"api_token": "hidden"}},
    ],
)
def test_every_kind_of_secret_counts(part: dict[str, Any], said: Any) -> None:
    _, warning = said(0o640, **{"supabase": {}} | part)
    assert "holds a secret" in warning
    assert "hidden" not in warning


def test_half_an_account(said: Any) -> None:
    assert "supabase.key is not" in said(supabase={"url": "https://my.supabase.co"})[1]
    half = {**GOOD["supabase"], "email": "me@here"}
    assert "supabase.password is not" in said(supabase=half)[1]
    assert "owner_user_id is not set" in said(supabase=half, owner_user_id=None)[1]
