"""`imagen config provenance` and `imagen verify`: from a certificate to a checked picture."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from imagen_nb.cli import run
from imagen_nb.config.settings import load_settings

DRAW = ["generate", "a red boat", "--backend", "flux-tiny-local", "--steps", "1", "--seed", "7"]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "imagen.yaml"
    path.write_text("steps: 2\n")
    monkeypatch.setenv("IMAGEN_CONFIG", str(path))
    monkeypatch.setenv("IMAGEN_OUTPUT_DIR", str(tmp_path / "pictures"))
    return path


def test_from_a_certificate_to_a_picture_that_is_checked(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["config", "provenance", "--name", "Ada"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == str(config)
    assert "signed, not by a trusted authority" in err
    assert "PRIVATE" not in out + err + config.read_text()
    assert run(DRAW) == 0
    picture = capsys.readouterr().out.splitlines()[0]
    assert run(["verify", picture]) == 0
    out, err = capsys.readouterr()
    name = Path(picture).name
    lines = [line.partition(f"{name}: ")[2] for line in out.splitlines()]
    assert lines[0].startswith(
        "content credentials: good: signed by Ada, not by a trusted authority: "
        "trainedAlgorithmicMedia"
    )
    assert [line.partition(": ")[2].partition(":")[0] for line in lines] == [
        *["good"] * 4,
        "not there",  # no watermark: it is off
    ]
    assert err == ""


def test_what_contradicts_is_exit_code_1(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(DRAW) == 0
    picture = Path(capsys.readouterr().out.splitlines()[0])
    picture.write_bytes(picture.read_bytes() + b"more")
    assert run(["verify", "--json", str(picture), str(tmp_path / "none.png")]) == 1
    out, err = capsys.readouterr()
    (facts,) = json.loads(out)
    assert (facts["file"], facts["holds"], facts["credentials"]) == (str(picture), False, None)
    assert {"what": "sha256", "verdict": "changed", "detail": facts["checks"][3]["detail"]} == (
        facts["checks"][3]
    )
    assert err.startswith("imagen: cannot read ")


def test_files_come_from_stdin(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(DRAW) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO(capsys.readouterr().out.splitlines()[0]))
    assert run(["verify", "-"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_a_second_certificate_is_made_only_when_forced(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text("steps: 3\nprovenance:\n  prompt: true\n")
    assert run(["config", "provenance"]) == 0
    before = load_settings().provenance
    assert before.private_key is not None
    assert (before.c2pa, before.prompt) == (True, True)
    key = before.private_key.read_bytes()
    assert run(["config", "provenance"]) == 2
    assert "--force" in capsys.readouterr().err
    assert before.private_key.read_bytes() == key
    assert run(["config", "provenance", "--force"]) == 0
    assert load_settings().provenance == before
    assert before.private_key.read_bytes() != key


def test_a_configuration_that_cannot_be_edited_gets_the_lines_to_put_in(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text("provenance: {prompt: true}\n")
    assert run(["config", "provenance"]) == 2
    out, err = capsys.readouterr()
    assert "  c2pa: true\n" in out
    assert "put the printed lines into it" in err


def test_validate_says_what_keeps_pictures_from_being_signed(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text("provenance: {c2pa: true, certificate: /none.pem}\n")
    assert run(["config", "validate"]) == 2
    assert "provenance.certificate cannot be read" in capsys.readouterr().err
    config.write_text("steps: 2\n")
    assert run(["config", "provenance"]) == 0
    assert run(["config", "validate"]) == 0


def test_validate_says_what_a_watermark_lacks(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text("provenance: {watermark: true}\n")
    assert run(["config", "validate"]) == 0
    monkeypatch.setitem(sys.modules, "imwatermark.dwtDctSvd", None)
    assert run(["config", "validate"]) == 2
    assert 'pip install "imagen_nb[watermark]"' in capsys.readouterr().err


def test_a_relative_configuration_names_its_certificate_from_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["config", "provenance", "--config", "mine.yaml"]) == 0
    named = load_settings(path=tmp_path / "mine.yaml").provenance
    assert named.certificate == tmp_path / "mine-provenance.pem"
    assert named.certificate.exists()


def test_a_certificate_that_is_missing_is_said_before_anything_is_drawn(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text("provenance: {c2pa: true}\n")
    assert run(DRAW) == 2
    assert "imagen config provenance" in capsys.readouterr().err
    assert not list((tmp_path / "pictures").glob("*.png"))
