"""What agents are told: no secrets, no paths of elsewhere, nothing without end."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from imagen_nb.errors import UsageError
from imagen_nb.storage.output import PictureFiles
from imagen_nb.storage.record import Record
from imagen_nb.studio.agents.answers import facts_answer, history_answer, thumbnail_answer
from imagen_nb.studio.agents.drawing import DrawingBounds, reproduce_within
from imagen_nb.studio.default import studio
from imagen_nb.studio.studio import Studio
from tests.conftest import DAY


@pytest.fixture
def kept(
    folder: Path,
    session: Callable[[Studio], Studio],
    make_record: Callable[..., Record],
    make_image: Callable[..., Image.Image],
) -> Callable[..., str]:
    """Keeps a picture with these fields in its record, and returns its id."""
    own = session(Studio({"output": {"dir": str(folder)}, "backend": "flux-tiny-local"}))

    def keep(size: tuple[int, int] = (32, 16), **fields: Any) -> str:
        record = make_record(width=size[0], height=size[1], **fields)
        saved = PictureFiles(folder).save(make_image(0, size), record, DAY)
        own.catalog().add(saved, "off")
        return str(record.id)

    return keep


def test_facts_have_neither_secrets_nor_paths_of_elsewhere(
    kept: Callable[..., str], folder: Path
) -> None:
    id = kept(
        prompt="/home/me is where the boat is",
        options={
            "model": "/models/of/mine",
            "api_token": "hush",
            "note": "sb_secret_abcdefgh",
            "drive": r"C:\models\mine",
        },
        loras=({"path": "~/loras/ink.safetensors", "weight": 0.5},),
    )
    facts = facts_answer(studio(), id)
    assert facts["prompt"] == "/home/me is where the boat is"
    assert facts["options"] == {
        "model": "…/mine",
        "api_token": None,
        "note": "…",
        "drive": "…/mine",
    }
    assert facts["loras"] == [{"path": "…/ink.safetensors", "weight": 0.5}]
    assert Path(facts["path"]).parent == folder
    assert "owner_user_id" in facts


def test_a_file_outside_the_folder_has_no_path(
    made: Callable[..., pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = made("a boat")
    monkeypatch.setattr(
        Studio, "history", lambda *_, **__: frame.assign(local_path=str(tmp_path / "x.png"))
    )
    (row,) = history_answer(studio(), 5, {})["pictures"]
    assert row["path"] is None


def test_texts_and_lists_have_an_end(kept: Callable[..., str]) -> None:
    id = kept(prompt="x" * 30_000, tags=tuple(f"tag {number}" for number in range(300)))
    facts = facts_answer(studio(), id)
    assert (len(facts["prompt"]), len(facts["tags"])) == (20_000, 100)
    (row,) = history_answer(studio(), 5, {})["pictures"]
    assert (len(row["prompt"]), len(row["tags"])) == (500, 100)


def test_a_thumbnail_is_as_large_as_it_may_be_at_most(kept: Callable[..., str]) -> None:
    data, line = thumbnail_answer(studio(), kept(size=(900, 600), seed=4), 300)
    assert Image.open(io.BytesIO(data)).size == (300, 200)
    assert line == "flux-tiny-local 900×600 seed 4 · 4 steps · 120 ms"


def test_nothing_is_drawn_again_for_money_that_was_not_asked_for(
    kept: Callable[..., str],
) -> None:
    id = kept(backend="flux-dev-replicate", cost_usd_estimate=0.025)
    with pytest.raises(UsageError, match="flux-dev-replicate draws for money"):
        reproduce_within(studio(), DrawingBounds(), lambda step: None, id)
    large = kept(size=(64, 32), seed=12)
    with pytest.raises(UsageError, match="width may be 32 here at most, not 64"):
        reproduce_within(studio(), DrawingBounds(side=32), lambda step: None, large)
