"""What a picture cost: whoever drew it asks a price, or this machine used electricity."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from imagen_nb.backends import Drawn, make_backend
from imagen_nb.backends.replicate.models import (
    FLUX_DEV_HOSTED,
    FLUX_SCHNELL_HOSTED,
    HOSTED_SIZES,
    PRICES,
)
from imagen_nb.config.settings import CostSettings
from imagen_nb.request.request import resolve
from imagen_nb.storage import cost as electricity
from imagen_nb.storage.cost import cost_usd, said
from imagen_nb.studio.studio import Studio

HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def _nothing_said_yet() -> Iterator[None]:
    electricity._say.cache_clear()
    yield
    electricity._say.cache_clear()


@pytest.fixture
def drawn(make_image: Callable[..., Any]) -> Callable[..., Drawn]:
    """A picture that the embedded model drew in so many milliseconds."""
    tiny = make_backend("flux-tiny-local")
    request = resolve("a boat", defaults=tiny.defaults, limits=tiny.limits)

    def make(latency_ms: int, **details: object) -> Drawn:
        return Drawn(request, make_image(), latency_ms, {"device": "cpu", **details})

    return make


def cost(drawn: Drawn, **settings: object) -> float | None:
    return cost_usd(CostSettings(**settings), make_backend("flux-tiny-local"), drawn)  # type: ignore[arg-type]


class TestPrices:
    def test_every_hosted_model_has_one_that_says_when_and_where_it_was_read(self) -> None:
        names = [price.backend for price in PRICES]
        assert sorted(names) == sorted([FLUX_DEV_HOSTED.name, FLUX_SCHNELL_HOSTED.name])
        for price in PRICES:
            assert 0 < price.usd < 1
            assert date(2026, 1, 1) < price.read
            assert price.source.startswith("https://")

    def test_the_guide_has_them_and_the_sizes(self) -> None:
        guide = (Path(__file__).parents[2] / "docs" / "hosted.md").read_text(encoding="utf-8")
        for price in PRICES:
            row = next(
                line for line in guide.splitlines() if line.startswith(f"| `{price.backend}`")
            )
            assert f"| ${price.usd} | {price.read}, " in row
            assert price.source in row
        told = {(int(w), int(h)) for w, h in re.findall(r"(\d{3,4})×(\d{3,4})", guide)}
        assert told == set(HOSTED_SIZES)

    def test_a_configured_one_wins(self, drawn: Callable[..., Drawn]) -> None:
        assert cost(drawn(5), prices={"flux-tiny-local": 0.125}) == 0.125
        assert cost(drawn(5), prices={"flux-tiny-local": 0}, watts=9, usd_per_kwh=9) == 0
        assert cost(drawn(5), prices={"another": 0.125}) == 0

    @pytest.mark.parametrize(
        ("price", "text"),
        [(0.025, "$0.025"), (0.003, "$0.003"), (0.0, "$0"), (None, ""), (12.0, "$12")],
    )
    def test_it_is_said_in_a_word(self, price: float | None, text: str) -> None:
        assert said(CostSettings(), price) == text

    def test_electricity_is_no_price(self) -> None:
        assert said(CostSettings(watts=300, usd_per_kwh=0.3), 0.0) == "electricity"
        assert said(CostSettings(watts=300, usd_per_kwh=0.3), 0.025) == "$0.025"


class TestElectricity:
    def test_it_is_time_by_watts(self, drawn: Callable[..., Drawn]) -> None:
        assert cost(drawn(HOUR_MS), watts=500, usd_per_kwh=0.30) == pytest.approx(0.15)
        assert cost(drawn(3600), watts=1000, usd_per_kwh=0.25) == pytest.approx(0.00025)

    @pytest.mark.parametrize("known", [{}, {"watts": 500}, {"usd_per_kwh": 0.3}])
    def test_it_costs_nothing_unless_both_are_known(
        self, known: dict[str, float], drawn: Callable[..., Drawn]
    ) -> None:
        assert cost(drawn(HOUR_MS), **known) == 0

    def test_what_was_drawn_elsewhere_used_none_of_ours(self, drawn: Callable[..., Drawn]) -> None:
        assert cost(drawn(HOUR_MS, device=None), watts=500, usd_per_kwh=0.3) == 0

    def test_it_is_in_the_record(self, tmp_path: Path) -> None:
        settings = {
            "backend": "flux-tiny-local", "output": {"dir": str(tmp_path)},
            "cost": {"watts": 100, "usd_per_kwh": 0.5},
        }  # fmt: skip
        with Studio(settings) as studio:
            record = studio.generate("a boat", seed=1, steps=1, progress=False).record
        assert record.latency_ms
        asked = pytest.approx(record.latency_ms / HOUR_MS * 0.1 * 0.5)
        assert record.cost_usd_estimate == asked


class TestCards:
    """No card is here: a module of NVML's names stands for the library and what it reads."""

    @pytest.fixture
    def cards(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        def have(*milliwatts: int, trouble: bool = False) -> None:
            class NVMLError(Exception):
                pass

            def init() -> None:
                if trouble:
                    raise NVMLError("Driver Not Loaded")

            fake = SimpleNamespace(
                NVMLError=NVMLError,
                nvmlInit=init,
                nvmlShutdown=lambda: None,
                nvmlDeviceGetCount=lambda: len(milliwatts),
                nvmlDeviceGetHandleByIndex=lambda index: index,
                nvmlDeviceGetPowerUsage=lambda card: milliwatts[card],
            )
            monkeypatch.setitem(sys.modules, "pynvml", fake)
            monkeypatch.setattr(electricity, "find_spec", lambda name: fake)

        return have

    def test_all_cards_count(self, cards: Callable[..., None], drawn: Callable[..., Drawn]) -> None:
        cards(300_000, 100_000)
        assert cost(drawn(HOUR_MS), watts="nvml", usd_per_kwh=0.5) == pytest.approx(0.2)

    def test_a_card_that_cannot_be_read_is_said_once_and_the_cost_unknown(
        self, cards: Callable[..., None], drawn: Callable[..., Drawn], capsys: Any
    ) -> None:
        cards(trouble=True)
        told = [cost(drawn(5), watts="nvml", usd_per_kwh=0.5) for _ in range(3)]
        assert told == [None] * 3
        assert capsys.readouterr().err.count("Driver Not Loaded; set cost.watts to a number") == 1

    def test_without_the_library_the_remedy_is_the_line_to_type(
        self, drawn: Callable[..., Drawn], monkeypatch: pytest.MonkeyPatch, capsys: Any
    ) -> None:
        monkeypatch.setattr(electricity, "find_spec", lambda name: None)
        assert cost(drawn(5), watts="nvml", usd_per_kwh=0.5) is None
        assert "pip install nvidia-ml-py" in capsys.readouterr().err
