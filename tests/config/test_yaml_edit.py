"""Keys are set in imagen.yaml, in place and as YAML has them; everything else stays."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from imagen_nb.config.settings import load_settings, validate_file
from imagen_nb.config.yaml_edit import load_written_values, settings_lines, write_settings
from imagen_nb.errors import ConfigError

SIGN = {"provenance.c2pa": True, "provenance.certificate": "/keys/mine.pem"}


def test_a_new_file_is_the_template_with_the_keys_set(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "imagen.yaml"
    write_settings(path, SIGN)
    assert validate_file(path) == []
    provenance = load_settings(None, path, {}).provenance
    assert (provenance.c2pa, provenance.certificate) == (True, Path("/keys/mine.pem"))
    assert path.read_text().count("c2pa:") == 1  # in the place of the comment
    assert path.stat().st_mode & 0o777 == 0o600


def test_every_other_line_stays(tmp_path: Path) -> None:
    path = tmp_path / "imagen.yaml"
    path.write_text(
        "# mine\nsteps: 3   # few\nprovenance:\n    # why\n    c2pa: false\ntags: [a]\n"
    )
    write_settings(path, SIGN | {"owner_user_id": "x"})
    assert path.read_text() == (
        "# mine\nsteps: 3   # few\nprovenance:\n    certificate: /keys/mine.pem\n    # why\n"
        "    c2pa: true\ntags: [a]\nowner_user_id: x\n"
    )


def test_keys_are_removed_from_their_group_only(tmp_path: Path) -> None:
    path = tmp_path / "imagen.yaml"
    path.write_text("supabase:\n  key: k\n  email: e\nreplicate:\n  key: r\n")
    write_settings(path, {"steps": "3"}, removed=["supabase.key"])
    assert load_written_values(path) == {
        "supabase": {"email": "e"},
        "replicate": {"key": "r"},
        "steps": "3",
    }


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link.yaml").symlink_to(tmp_path / "dotfiles.yaml")
    write_settings(tmp_path / "link.yaml", SIGN)
    assert (tmp_path / "link.yaml").is_symlink()
    assert load_written_values(tmp_path / "dotfiles.yaml")["provenance"]["c2pa"] is True


@pytest.mark.parametrize(
    "text",
    ["provenance: {prompt: true}\n", "provenance:\n  certificate: >-\n    a\n    b\n", "a: [\n"],
)
def test_a_file_that_cannot_be_edited_safely_stays_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "imagen.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        write_settings(path, SIGN)
    assert path.read_text() == text


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_settings(tmp_path / "file" / "imagen.yaml", SIGN)


@settings(max_examples=30)
@given(st.text(st.characters(exclude_categories=["C"]), max_size=30))
def test_whatever_a_path_holds_it_is_read_back_or_nothing_is_written(value: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "imagen.yaml")
        try:
            write_settings(path, {"provenance.certificate": value, "steps": "1"})
        except ConfigError:
            assert not path.exists()
        else:
            assert load_written_values(path)["provenance"]["certificate"] == value
    assert yaml.safe_load(settings_lines({"provenance.certificate": value})) == {
        "provenance": {"certificate": value}
    }
