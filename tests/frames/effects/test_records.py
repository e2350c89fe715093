"""Effects of what the embedded FLUX drew: settings that only records hold, and times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import imagen_nb as im
from imagen_nb.frames.effects.record_settings import (
    INPUTS,
    IS_KNOWN,
    load_record_settings,
)
from imagen_nb.studio.default import using
from imagen_nb.studio.studio import Studio

PROMPTS = ["a red boat", "a yellow house"]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    chosen = {"output": {"dir": tmp_path_factory.mktemp("swept")}, "backend": "flux-tiny-local"}
    with Studio(chosen, background=False) as session, using(session):
        drawn = session.sweep(
            PROMPTS, seeds=range(4), steps=[1, 4], guidance=[0.0, 3.5], progress=False
        )
        for picture in drawn:
            session.rate(picture, 4 if picture.record.steps == 4 else 2)
        yield session


def test_guidance_comes_from_records_and_ratings_from_tags(studio: Studio) -> None:
    effects = im.effects(studio.history())
    told = {row["setting"]: row for row in effects.to_dict("records")}
    assert {*told} == {"steps", "guidance"}
    assert told["steps"]["effect"] == pytest.approx(2)
    assert told["guidance"]["effect"] == 0
    assert "model" in effects.attrs["unvaried"]


def test_more_steps_take_longer(studio: Studio) -> None:
    effects = im.effects(studio.history(), on="latency_ms", settings=["steps"])
    (row,) = effects.to_dict("records")
    assert row["effect"] > 20 if row["level"] == "4" else row["effect"] < -20
    assert row["blocks"] == 8


def test_words_of_a_sweep_are_compared(studio: Studio) -> None:
    said = im.effects(studio.history(), words=True)["said"]
    assert any(line.startswith("“yellow house” instead of “red boat”") for line in said)


def test_records_come_from_the_frame_or_the_catalog(studio: Studio) -> None:
    frame = studio.history(sidecar=True)
    own = load_record_settings(frame, [])
    kept = load_record_settings(frame.drop(columns="sidecar"), studio.lookup.catalogs())
    assert own.equals(kept)
    assert own[IS_KNOWN].all()
    assert {*own["guidance"]} == {0.0, 3.5}
    assert {*own[INPUTS]} == {""}
    nothing = load_record_settings(frame.drop(columns="sidecar"), [])
    assert not nothing[IS_KNOWN].any()


def test_loras_and_options_are_columns() -> None:
    import pandas as pd

    sidecars = [
        {"id": "1", "loras": [{"path": "/x/flat.safetensors", "weight": 0.5}]},
        {"id": "2", "loras": [], "options": {"tiled": True, "raw": "x" * 100, "deep": {}}},
        {"id": "3", "loras": "odd", "inputs": [{"name": "init_image", "sha256": "ab"}]},
    ]
    found = load_record_settings(pd.DataFrame({"id": list("123"), "sidecar": sidecars}), [])
    assert found["LoRA flat"].tolist() == [0.5, 0.0, 0.0]
    assert found["tiled"].tolist() == [None, True, None]
    assert not {"raw", "deep"} & {*found.columns}
    assert found[INPUTS].astype(bool).tolist() == [False, False, True]


def test_pictures_without_records_are_left_out_or_records_are(
    studio: Studio, tmp_path: Path
) -> None:
    frame = studio.history()
    frame.loc[frame.index[:2], "id"] = "00000000-0000-4000-8000-000000000000"
    effects = im.effects(frame)
    assert "2 pictures were left out without records" in effects.attrs["summary"]
    with Studio({"output": {"dir": tmp_path}}, background=False) as other, using(other):
        effects = im.effects(frame)
        assert {*effects["setting"]} == {"steps"}
        assert "im.history(sidecar=True) fetches them" in effects.attrs["summary"]
