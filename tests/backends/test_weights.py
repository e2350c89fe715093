"""Weights: found or missed with a remedy, read from disk only, whatever state they are in."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from diffusers.utils import logging as diffusers
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers.utils import logging as transformers

from imagen_nb.backends.flux.backend import FluxBackend, custom, dev, schnell
from imagen_nb.backends.flux.models import DEV_DEFAULTS, SCHNELL_DEFAULTS
from imagen_nb.errors import BackendError, ImagenError, UsageError
from tests.fixtures.backend_calls import draw, request_for

Fetched = Callable[[str, Path], Path]


class TestMissing:
    def test_the_message_says_size_licence_and_command(self, hub_cache: Path) -> None:
        state = schnell().availability()
        assert not state.available
        for said in (
            "34.1 GB",
            "Apache-2.0",
            'hf download black-forest-labs/FLUX.1-schnell --exclude "flux1-*"',
        ):
            assert said in state.reason
        assert "\n" not in state.reason

    def test_a_gated_models_message_says_how_to_sign_in(self, hub_cache: Path) -> None:
        assert "hf auth login" in dev().availability().reason
        assert "Non-Commercial" in dev().availability().reason

    @pytest.mark.usefixtures("no_network")
    def test_drawing_raises_that_message_and_downloads_nothing(self, hub_cache: Path) -> None:
        backend = schnell()
        with pytest.raises(BackendError) as error:
            draw(backend, request_for(backend))
        assert str(error.value) == backend.availability().reason
        assert not hub_cache.exists()

    def test_nothing_is_said_of_memory_before(
        self, hub_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Where RAM was short, a line on another plan came first."""
        backend = schnell()
        monkeypatch.setattr(backend._loaded, "plan_requests", lambda *_: "another plan")
        with pytest.raises(BackendError, match="hf download"):
            draw(backend, request_for(backend))
        assert capsys.readouterr().err == ""

    @pytest.mark.slow
    def test_the_command_is_one_that_is_installed(self) -> None:
        hf = shutil.which("hf", path=str(Path(sys.executable).parent))
        assert hf
        said = subprocess.run(
            [hf, "download", "--help"], capture_output=True, text=True, check=True
        )
        assert "--exclude" in said.stdout

    def test_looking_loads_no_torch(self) -> None:
        code = (
            "import sys; from imagen_nb.backends import backend_rows; backend_rows();"
            "from imagen_nb.backends.session import choose_backend; choose_backend();"
            "print({'torch', 'diffusers', 'transformers', 'PIL'} & set(sys.modules))"
        )
        command = [sys.executable, "-W", "error", "-c", code]
        said = subprocess.run(command, capture_output=True, text=True, check=True)
        assert said.stdout.strip() == "set()"


class TestFetched:
    @pytest.mark.usefixtures("no_network")
    @pytest.mark.parametrize("offline", ["0", "1"])
    def test_an_id_is_drawn_from_the_cache_without_the_network(
        self, offline: str, fetched: Fetched, dev_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", offline)
        fetched("some-one/some-flux", dev_folder)
        backend = custom("some-one/some-flux")
        assert backend.availability().available
        assert backend.model == "some-one/some-flux"
        assert backend.defaults.steps == DEV_DEFAULTS.steps  # as its own configuration says
        assert len(draw(backend, request_for(backend))) == 1

    def test_a_fetch_that_broke_off_is_not_available(
        self, fetched: Fetched, schnell_folder: Path
    ) -> None:
        place = fetched("black-forest-labs/FLUX.1-schnell", schnell_folder)
        assert schnell().availability().available
        (place / "text_encoder_2" / "model.safetensors").unlink()
        state = schnell().availability()
        assert not state.available
        assert "text_encoder_2" in state.reason
        assert "hf download" in state.reason

    def test_of_shards_all_must_be_there(self, copied: Path) -> None:
        part = copied / "transformer"
        shards = {f"layer{i}": f"diffusion_pytorch_model-{i}-of-2.safetensors" for i in (1, 2)}
        index = part / "diffusion_pytorch_model.safetensors.index.json"
        backend = custom(str(copied))
        index.write_text(json.dumps({"weight_map": shards}))
        whole = part / "diffusion_pytorch_model.safetensors"
        whole.rename(part / shards["layer1"])
        assert not backend.availability().available
        shutil.copy(part / shards["layer1"], part / shards["layer2"])
        assert backend.availability().available

    def test_the_known_ids_keep_their_defaults_when_named_by_the_user(
        self, hub_cache: Path
    ) -> None:
        backend = custom("black-forest-labs/FLUX.1-schnell")
        assert (backend.name, backend.defaults) == ("flux", SCHNELL_DEFAULTS)


class TestFolders:
    def test_the_configuration_decides_defaults_and_sizes(
        self, schnell_like: FluxBackend, dev_like: FluxBackend
    ) -> None:
        fast, slow = schnell_like.defaults, dev_like.defaults
        assert (fast.steps, fast.guidance, fast.max_sequence_length) == (4, 0.0, 256)
        assert (slow.steps, slow.guidance, slow.max_sequence_length) == (28, 3.5, 512)
        assert (fast.width, fast.height, schnell_like.limits.multiple) == (32, 32, 4)
        with pytest.raises(UsageError, match="multiple of 4"):
            request_for(schnell_like, width=34)

    def test_records_name_the_folder_and_not_its_path(self, schnell_like: FluxBackend) -> None:
        assert schnell_like.model == "schnell-like"

    def test_a_relative_folder_survives_a_change_of_directory(
        self, copied: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(copied.parent)
        backend = custom(copied.name)
        monkeypatch.chdir("/")
        assert backend.availability().available

    @pytest.mark.parametrize("source", ["/no/such/folder", "./nothing", "nothing", "a/b/c"])
    def test_a_folder_that_is_not_there_is_one_line(self, source: str, hub_cache: Path) -> None:
        with pytest.raises(BackendError, match="there is no") as error:
            custom(source)
        assert source in str(error.value)
        assert "\n" not in str(error.value)

    def test_a_folder_in_the_home_of_nobody_is_one_line(self) -> None:
        with pytest.raises(UsageError, match=r"^~nouser/model: there is no such home folder$"):
            custom("~nouser/model")

    def test_without_a_model_the_message_says_what_to_give(self) -> None:
        with pytest.raises(UsageError, match="model="):
            custom()

    @pytest.mark.parametrize("part", ["model_index.json", "vae/config.json", "tokenizer_2"])
    def test_a_folder_without_a_part_is_one_line_that_names_it(
        self, part: str, copied: Path
    ) -> None:
        victim = copied / part
        shutil.rmtree(victim) if victim.is_dir() else victim.unlink()
        with pytest.raises(BackendError, match=part.split("/", maxsplit=1)[0]) as error:
            custom(str(copied))
        assert "\n" not in str(error.value)

    def test_another_kind_of_pipeline_is_refused(self, copied: Path) -> None:
        (copied / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
        with pytest.raises(BackendError, match="StableDiffusionPipeline"):
            custom(str(copied))

    @pytest.mark.parametrize(
        "part", ["vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"]
    )
    def test_torn_weights_are_one_line_when_they_are_read(self, part: str, copied: Path) -> None:
        weights = copied / part
        weights.write_bytes(weights.read_bytes()[:100])
        backend = custom(str(copied))
        with pytest.raises(BackendError, match="cannot load") as error:
            draw(backend, request_for(backend))
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        ("file", "library"),
        [
            ("text_encoder/model.safetensors", "transformers"),
            ("text_encoder_2/model.safetensors", "transformers"),
            ("transformer/diffusion_pytorch_model.safetensors", "diffusers"),
            ("vae/diffusion_pytorch_model.safetensors", "diffusers"),
        ],
    )
    def test_a_weight_that_no_file_has_is_not_made_up(
        self, file: str, library: str, copied: Path
    ) -> None:
        weights = load_file(copied / file)
        save_file(dict(sorted(weights.items())[1:]), copied / file, {"format": "pt"})
        backend = custom(str(copied))
        with pytest.raises(BackendError, match=f"its files lack weights that {library} ") as error:
            draw(backend, request_for(backend))
        assert "\n" not in str(error.value)

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        content=st.text(max_size=40)
        | st.fixed_dictionaries(
            {},
            optional={
                "block_out_channels": st.none() | st.text() | st.lists(st.integers(), max_size=12),
                "sample_size": st.none() | st.text() | st.integers() | st.floats(),
            },
        ).map(json.dumps)
    )
    @example(content='{"block_out_channels": [8, 8], "sample_size": Infinity}')
    @example(content='{"block_out_channels": [8, 8], "sample_size": -7}')
    def test_whatever_a_configuration_holds_it_is_a_row_or_one_line(
        self, content: str, copied: Path
    ) -> None:
        (copied / "vae" / "config.json").write_text(content, encoding="utf-8")
        outcome = custom_or_error(str(copied))
        if isinstance(outcome, ImagenError):
            assert "\n" not in str(outcome)
        else:
            side, limits = outcome.defaults.width, outcome.limits
            assert limits.min_side <= side <= limits.max_side
            assert side % limits.multiple == 0


def custom_or_error(source: str) -> FluxBackend | ImagenError:
    try:
        return custom(source)
    except ImagenError as error:
        return error


def test_loading_is_silent_and_leaves_the_libraries_voices_as_they_were(
    schnell_like: FluxBackend,
    logged: list[logging.LogRecord],
    capfd: pytest.CaptureFixture[str],
) -> None:
    draw(schnell_like, request_for(schnell_like))
    assert logged == []
    assert capfd.readouterr() == ("", "")
    for library in (diffusers, transformers):
        assert library.get_verbosity() == logging.INFO  # as the fixture set it
        assert library.is_progress_bar_enabled()
