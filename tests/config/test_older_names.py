"""A key that had another name once is read by it, and validate says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagen_nb.config.older_names import older_names_in
from imagen_nb.config.settings import load_settings, validate_file

UUIDS = [f"00000000-0000-4000-8000-00000000000{n}" for n in range(3)]


class TestTheOwnersOlderName:
    """`imagen_user_id`, which the first users' configurations have."""

    def owner(self, text: str, tmp_path: Path, **environ: str) -> tuple[str, str]:
        file = tmp_path / "imagen.yaml"
        file.write_text(text)
        settings = load_settings(None, file, environ)
        return str(settings.owner_user_id), settings.sources["owner_user_id"]

    def test_it_is_read(self, tmp_path: Path) -> None:
        older = f"imagen_user_id: {UUIDS[0]}\nowner_user_id:\n"
        assert self.owner(older, tmp_path) == (UUIDS[0], str(tmp_path / "imagen.yaml"))
        assert validate_file(tmp_path / "imagen.yaml") == []

    @pytest.mark.parametrize("names", [[0, 1], [1, 0]])
    def test_the_newer_one_beside_it_wins(self, names: list[int], tmp_path: Path) -> None:
        lines = [f"imagen_user_id: {UUIDS[0]}\n", f"owner_user_id: {UUIDS[1]}\n"]
        assert self.owner("".join(lines[at] for at in names), tmp_path)[0] == UUIDS[1]

    def test_it_is_a_variable_too_and_the_environment_wins_over_the_file(
        self, tmp_path: Path
    ) -> None:
        file = f"owner_user_id: {UUIDS[0]}\n"
        older, newer = {"IMAGEN_USER_ID": UUIDS[1]}, {"IMAGEN_OWNER_USER_ID": UUIDS[2]}
        assert self.owner(file, tmp_path, **older) == (UUIDS[1], "$IMAGEN_USER_ID")
        both = self.owner(file, tmp_path, **newer, **older)
        assert both == (UUIDS[2], "$IMAGEN_OWNER_USER_ID")

    def test_a_problem_of_it_is_told_by_its_own_name_and_line(self, tmp_path: Path) -> None:
        file = tmp_path / "imagen.yaml"
        file.write_text("steps: 4\nimagen_user_id: nobody\n")
        (problem,) = validate_file(file)
        assert str(problem) == (
            f"{file}:2: imagen_user_id: expected a UUID like 3f1c9a52-0d4e-4b7a-9c11-5e8f2a6b7c0d"
        )

    def test_it_is_noted_and_whether_it_counts(self, tmp_path: Path) -> None:
        file = tmp_path / "imagen.yaml"
        file.write_text(f"imagen_user_id: {UUIDS[0]}\n")
        (note,) = older_names_in(file)
        assert str(note) == f"{file}:1: imagen_user_id: the older name of owner_user_id, still read"
        file.write_text(f"imagen_user_id: {UUIDS[0]}\nowner_user_id: {UUIDS[1]}\n")
        (note,) = older_names_in(file)
        assert str(note).endswith("owner_user_id, which stands here, too, and wins")
        file.write_text(f"imagen_user_id:\nowner_user_id: {UUIDS[1]}\n")
        assert [*older_names_in(file)] == []
