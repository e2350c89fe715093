"""The registry finds backends by entry point; `auto` chooses and says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from imagen_nb.backends import backend_names, backend_rows, make_backend
from imagen_nb.backends.session import choose_backend, describe_backend
from imagen_nb.errors import UsageError

OURS = {"flux", "flux-dev-local", "flux-schnell-local", "flux-tiny-local"}


class TestRegistry:
    def test_our_backends_are_registered(self) -> None:
        assert set(backend_names()) >= OURS

    @pytest.mark.parametrize("name", sorted(OURS - {"flux"}))
    def test_each_is_made_by_its_name_and_not_loaded(self, name: str) -> None:
        backend = make_backend(name)
        assert backend.name == name
        assert backend.limits.min_side <= backend.defaults.width <= backend.limits.max_side
        assert backend.defaults.max_sequence_length <= backend.limits.max_sequence_length

    def test_a_folder_is_an_option(self, schnell_folder: Path) -> None:
        assert make_backend("flux", model=str(schnell_folder)).model == "schnell-like"

    def test_an_unknown_name_is_answered_with_the_known_ones(self) -> None:
        with pytest.raises(UsageError, match=r"flux-tiny-local.*or auto"):
            make_backend("flux-hasty")

    def test_an_unknown_option_is_answered_with_the_known_ones(self) -> None:
        message = "backend flux takes model, loras, memory, and was given modle"
        with pytest.raises(UsageError, match=message):
            make_backend("flux", modle="x")

    def test_an_option_of_another_backend_is_unknown(self) -> None:
        message = "flux-tiny-local takes loras, memory, and was given model"
        with pytest.raises(UsageError, match=message):
            make_backend("flux-tiny-local", model="x")


class TestRows:
    @pytest.fixture
    def rows(self, hub_cache: Path) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in backend_rows()}

    def test_all_backends_have_the_same_columns(self, rows: dict[str, dict[str, Any]]) -> None:
        assert set(rows) >= OURS
        assert len({tuple(row) for row in rows.values()}) == 1

    def test_missing_weights_come_with_the_command(self, rows: dict[str, dict[str, Any]]) -> None:
        assert not rows["flux-dev-local"]["available"]
        assert "hf download" in rows["flux-dev-local"]["reason"]

    def test_a_missing_option_is_named(self, rows: dict[str, dict[str, Any]]) -> None:
        assert "model=" in rows["flux"]["reason"]

    def test_a_model_that_needs_an_image_has_a_price_too(
        self, rows: dict[str, dict[str, Any]]
    ) -> None:
        assert rows["flux-fill-dev-local"]["cost_usd"] == 0


@pytest.mark.usefixtures("hub_cache")
class TestDescription:
    def test_of_auto_it_says_why(self) -> None:
        assert describe_backend("auto").startswith("auto: drawing with flux-tiny-local")

    def test_of_one_that_can_draw_it_is_the_name(self) -> None:
        assert describe_backend("flux-tiny-local") == "flux-tiny-local"

    def test_of_one_that_cannot_it_says_why(self) -> None:
        line = describe_backend("flux-schnell-local")
        assert line.startswith("flux-schnell-local: the weights of")

    def test_an_unknown_name_is_refused(self) -> None:
        with pytest.raises(UsageError, match="unknown backend"):
            describe_backend("flux-hasty")


class TestAuto:
    """No GPU is needed: what torch says of one is set, what lies in the cache is real."""

    @pytest.fixture
    def schnell_is_here(self, fetched: Callable[[str, Path], Path], schnell_folder: Path) -> None:
        fetched("black-forest-labs/FLUX.1-schnell", schnell_folder)

    def gpu(self, monkeypatch: pytest.MonkeyPatch, gigabytes: float) -> None:
        free = int(gigabytes * 1e9)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gigabytes > 0)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free, free))
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 9))

    def test_without_weights_it_is_the_embedded_model_and_says_so(self, hub_cache: Path) -> None:
        name, why = choose_backend()
        assert name == "flux-tiny-local"
        assert "weights of FLUX.1-schnell are not on this machine" in why
        assert "\n" not in why

    @pytest.mark.usefixtures("schnell_is_here")
    @pytest.mark.parametrize(("gigabytes", "reason"), [(0, "no GPU"), (0.3, "0.3 GB for use")])
    def test_without_a_gpu_that_holds_it_it_is_the_embedded_model(
        self, gigabytes: float, reason: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.gpu(monkeypatch, gigabytes)
        name, why = choose_backend()
        assert name == "flux-tiny-local"
        assert reason in why

    @pytest.mark.usefixtures("schnell_is_here")
    def test_with_weights_and_such_a_gpu_it_is_schnell_and_there_is_nothing_to_say(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.gpu(monkeypatch, 24.4)
        assert choose_backend() == ("flux-schnell-local", "")
