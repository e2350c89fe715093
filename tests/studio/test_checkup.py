"""A checkup says what works and what mends the rest, whatever is broken."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest
import torch
from huggingface_hub import constants

from imagen_nb.studio.checkup import drawing
from imagen_nb.studio.checkup.row import CheckRow
from imagen_nb.studio.checkup.run import run_checkup
from tests.fixtures.ports import free_port

SECRET = "sb_secret_do-not-show"


def found(name: str, **arguments: Any) -> list[CheckRow]:
    """The rows of one check."""
    return [row for row in run_checkup(**arguments) if row.name == name]


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the one check that takes more than a moment, for tests of others."""
    from imagen_nb.studio.checkup import run

    checks = [check for check in run._OF_SETTINGS if check.name != "drawing"]
    monkeypatch.setattr(run, "_OF_SETTINGS", tuple(checks))


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., Path]:
    """Writes an imagen.yaml."""

    def write(mode: int = 0o600, **values: Any) -> Path:
        file = tmp_path / "imagen.yaml"
        file.write_text(json.dumps(values))
        file.chmod(mode)
        return file

    return write


@pytest.mark.usefixtures("no_network")
def test_where_all_is_well_it_draws_and_leaves_no_trace(tmp_path: Path) -> None:
    rows = [*run_checkup(output=tmp_path / "pictures")]
    assert [row for row in rows if row.stops_drawing] == []
    assert [row.what for row in rows if row.state == "wrong"] == []
    (drew,) = (row for row in rows if row.name == "drawing")
    assert drew.what.startswith("flux-tiny-local drew 128 × 128 pixels, in ")
    assert [*tmp_path.iterdir()] == []
    made = {path.name for path in Path.home().iterdir()}
    assert made <= {".ipython"}  # which Jupyter makes when it is asked for kernels


@pytest.mark.usefixtures("no_drawing")
def test_whatever_is_not_good_comes_with_the_line_that_mends_it() -> None:
    lacking = [row for row in run_checkup() if row.state != "good"]
    assert {"weights", "supabase"} <= {row.name for row in lacking}
    assert all(row.mend for row in lacking)


def test_a_torch_that_does_not_load_is_told_and_all_else_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    rows = {row.name: row for row in run_checkup()}
    assert rows["torch"].stops_drawing
    assert rows["torch"].what.startswith("ModuleNotFoundError: ")
    assert rows["torch"].mend == "pip install --force-reinstall torch"
    assert rows["python"].state == rows["folder"].state == rows["disk"].state == "good"


class TestCard:
    @pytest.fixture(autouse=True)
    def _a_card(self, monkeypatch: pytest.MonkeyPatch, no_drawing: None) -> None:
        monkeypatch.setattr(drawing, "has_nvidia_card", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def test_a_torch_for_processors_beside_a_card_is_told(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch.version, "cuda", None)
        (row,) = found("torch")
        assert (row.state, row.needed) == ("missing", False)
        assert "pytorch.org" in row.mend

    def test_a_driver_that_is_too_old_is_told_in_torchs_words(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import warnings

        def unavailable() -> bool:
            warnings.warn("The NVIDIA driver is too old (Triggered internally at x)", stacklevel=1)
            return False

        monkeypatch.setattr(torch.version, "cuda", "12.8")
        monkeypatch.setattr(torch.cuda, "is_available", unavailable)
        (row,) = found("torch")
        assert row.state == "wrong"
        assert row.what.endswith("cannot use the card: The NVIDIA driver is too old")


@pytest.mark.usefixtures("no_drawing")
class TestWeights:
    @pytest.fixture(autouse=True)
    def _hub(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def test_without_any_the_line_that_fetches_them_is_told(self) -> None:
        (row,) = found("weights")
        assert row.state == "missing"
        assert "run `hf download black-forest-labs/FLUX.1-schnell" in row.mend

    def test_a_fetch_that_broke_off_is_told(self, tmp_path: Path) -> None:
        place = tmp_path / "hub" / "models--black-forest-labs--FLUX.1-dev"
        (place / "refs").mkdir(parents=True)
        (place / "refs" / "main").write_text("0123abcd")
        (place / "snapshots" / "0123abcd").mkdir(parents=True)
        index = place / "snapshots" / "0123abcd" / "model_index.json"
        index.write_text('{"_class_name": "FluxPipeline"}')
        (row,) = found("weights")
        assert (row.state, row.needed) == ("wrong", False)
        assert row.what.startswith("flux-dev-local is not whole: it lacks")
        assert "hf download black-forest-labs/FLUX.1-dev" in row.mend

    def test_a_configured_model_without_weights_stops_drawing(
        self, configured: Callable[..., Path]
    ) -> None:
        (row,) = found("backend", config=configured(backend="flux-schnell-local"))
        assert row.stops_drawing
        assert "hf download" in row.mend


@pytest.mark.usefixtures("no_drawing")
class TestKernel:
    @pytest.mark.usefixtures("no_kernels")
    def test_without_one_there_are_no_batches(self) -> None:
        (row,) = found("kernel")
        assert (row.state, row.mend) == ("missing", "pip install ipykernel")

    @pytest.mark.parametrize(
        ("program", "what"), [("/nowhere/python", "not there"), ("sh", "another Python")]
    )
    def test_one_of_another_python_is_told(
        self, program: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = tmp_path / "kernels" / "python3"
        place.mkdir(parents=True)
        spec = {"argv": [shutil.which(program) or program], "display_name": "x", "language": "x"}
        (place / "kernel.json").write_text(json.dumps(spec))
        monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
        (row,) = found("kernel")
        assert (row.state, row.needed) == ("wrong", False)
        assert what in row.what
        assert row.mend.startswith(sys.executable)


@pytest.mark.usefixtures("no_drawing")
class TestPlaces:
    def test_a_folder_that_cannot_be_made_stops_drawing(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        (row,) = found("folder", output=tmp_path / "file" / "pictures")
        assert row.stops_drawing
        assert "is no folder" in row.what
        assert "output.dir" in row.mend

    @pytest.mark.parametrize(
        ("free", "state", "stops"),
        [(10**7, "wrong", True), (10**9, "missing", False), (10**12, "good", False)],
    )
    def test_a_full_disk_stops_drawing(
        self, free: int, state: str, stops: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Usage(NamedTuple):
            free: int

        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(free))
        (row,) = found("disk")
        assert (row.state, row.stops_drawing) == (state, stops)


@pytest.mark.usefixtures("no_drawing")
class TestConfiguration:
    def test_one_that_cannot_be_used_is_named_with_its_line(
        self, configured: Callable[..., Path]
    ) -> None:
        rows = [*run_checkup(configured(steps="many"))]
        (wrong,) = (row for row in rows if row.name == "configuration")
        assert wrong.stops_drawing
        assert "imagen.yaml:1" in wrong.what
        assert "supabase" in {row.name for row in rows}  # the others are looked at all the same

    def test_secrets_that_others_can_read_are_told_and_not_shown(
        self, configured: Callable[..., Path]
    ) -> None:
        supabase = {"url": "https://my.supabase.co", "key": SECRET}
        rows = [*run_checkup(configured(0o644, supabase=supabase))]
        (wrong,) = (row for row in rows if row.name == "configuration")
        assert (wrong.state, wrong.needed) == ("wrong", False)
        assert "chmod 600" in wrong.mend
        assert SECRET not in repr(rows)

    def test_a_supabase_that_lacks_its_owner_is_told(self, configured: Callable[..., Path]) -> None:
        supabase = {"url": "https://my.supabase.co", "key": SECRET}
        (row,) = found("supabase", config=configured(supabase=supabase))
        assert (row.state, row.needed) == ("wrong", False)
        assert "owner_user_id" in row.mend

    def test_a_supabase_that_cannot_be_reached_is_given_up_and_stops_no_drawing(
        self, configured: Callable[..., Path]
    ) -> None:
        supabase = {"url": f"http://127.0.0.1:{free_port()}", "key": SECRET}
        file = configured(supabase=supabase, owner_user_id=str(UUID(int=1)))
        offline, *online = found("supabase", config=file, online=True)
        assert (offline.state, offline.what.partition(";")[0]) == ("good", supabase["url"])
        states = [(row.what, row.state, row.needed) for row in online]
        assert states == [("sign-in", "good", False), ("schema and table", "wrong", False)]
        assert "cannot be reached" in online[-1].mend

    def test_a_library_that_quotes_a_key_shows_none(
        self, monkeypatch: pytest.MonkeyPatch, configured: Callable[..., Path]
    ) -> None:
        def broken(name: str) -> None:
            raise RuntimeError(f"cannot ask with {SECRET}")

        monkeypatch.setattr("imagen_nb.system.kernels.find_kernel", broken)
        monkeypatch.setattr("imagen_nb.studio.checkup.software.find_kernel", broken)
        (row,) = found("kernel")
        assert (row.state, row.what) == ("wrong", "RuntimeError: cannot ask with …")
