"""Which embedder is taken where none is named, and by which names there are some."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagen_nb.errors import UsageError
from imagen_nb.frames.plugins import embedders
from imagen_nb.frames.plugins.embedders import EMBEDDERS, make_embedder
from imagen_nb.system.plugins import PluginKind
from tests.fixtures.dual_encoders import save_siglip

OURS = ["clip-vit-base-patch32", "siglip2-base", "tiny"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Hugging Face's, empty."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    embedders._made_embedder.cache_clear()
    yield tmp_path
    embedders._made_embedder.cache_clear()


def register(monkeypatch: pytest.MonkeyPatch, *others: str) -> None:
    """Others beside ours, which are installed."""
    made: Any = type("Other", (), {"model": "other-1", "dimensions": 2})
    find = PluginKind.find
    monkeypatch.setattr(PluginKind, "names", lambda kind: sorted([*OURS, *others]))
    monkeypatch.setattr(
        PluginKind,
        "find",
        lambda kind, name: made if name in others else find(kind, name),
    )


def test_ours_are_installed() -> None:
    assert set(OURS) <= set(EMBEDDERS.names())


def test_without_weights_the_usual_one_is_tiny() -> None:
    assert make_embedder() is make_embedder("tiny")


def test_weights_that_were_fetched_are_taken_instead(cache: Path) -> None:
    home = cache / "models--google--siglip2-base-patch16-224"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    save_siglip(home / "snapshots" / ("0" * 40))
    assert make_embedder() is make_embedder("siglip2-base")
    assert make_embedder().model == "google/siglip2-base-patch16-224@000000000000"


def test_one_that_somebody_installed_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "other")
    assert make_embedder().model == "other-1"


def test_of_several_that_somebody_installed_one_is_to_be_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register(monkeypatch, "other", "third")
    with pytest.raises(UsageError, match=r"which embedder\? give embedder=, one of clip"):
        make_embedder()


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown embedder 'siglip-base'.*did you mean siglip2"):
        make_embedder("siglip-base")
