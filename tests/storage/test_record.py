"""Records: one definition, and the same picture on each of its faces."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen_nb.errors import StorageError
from imagen_nb.storage.png import png_texts
from imagen_nb.storage.record import IMAGES_COLUMNS, SCHEMA_VERSION, Record, new_id
from imagen_nb.storage.webui_text import webui_text

Make = Callable[..., Record]


def test_the_columns_are_those_of_the_contract_in_its_order() -> None:
    assert ", ".join(IMAGES_COLUMNS) == (
        "id, owner_user_id, prompt, prompt_hash, backend, model, seed, steps, width, height, "
        "latency_ms, cost_usd_estimate, storage_path, sidecar, tags, created_at"
    )


def test_a_row_has_exactly_the_columns_and_only_json_values(make_record: Make) -> None:
    record = make_record(tags=("sea",), storage_path="2026-05-11/x-11.png")
    row = record.to_row()
    assert tuple(row) == IMAGES_COLUMNS
    assert json.loads(json.dumps(row)) == row
    assert row["sidecar"] == json.loads(record.to_sidecar())
    assert row["tags"] == ["sea"]


def test_the_hash_of_the_prompt_is_sha256_of_its_bytes(make_record: Make) -> None:
    assert (
        make_record(prompt="ein Löwe").prompt_hash
        == hashlib.sha256("ein Löwe".encode()).hexdigest()
    )


def test_a_sidecar_holds_the_columns_and_what_it_takes_to_draw_again(make_record: Make) -> None:
    sidecar = json.loads(make_record().to_sidecar())
    assert sidecar["schema_version"] == SCHEMA_VERSION
    assert set(IMAGES_COLUMNS) - {"sidecar"} <= set(sidecar)
    assert set(sidecar) >= {
        "guidance",
        "max_sequence_length",
        "scheduler",
        "loras",
        "batch_size",
        "batch_index",
        "dtype",
        "device",
        "memory_plan",
        "sha256",
        "bytes",
        "versions",
        "cloud",
    }


def test_a_sidecar_is_made_to_be_read_by_people(make_record: Make) -> None:
    text = make_record(prompt="בית לבן 🏠").to_sidecar()
    assert '\n  "prompt": "בית לבן 🏠",\n' in text
    assert text.endswith("}\n")


@given(
    prompt=st.text(st.characters(codec="utf-8"), min_size=1),
    seed=st.integers(0, 2**53 - 1),
    guidance=st.floats(0, 100),
    tags=st.lists(st.text(st.characters(codec="utf-8"))),
    moment=st.datetimes(datetime(1900, 1, 1), datetime(2500, 1, 1), timezones=st.timezones()),
    cost=st.none() | st.decimals(0, 999, places=6),
)
def test_what_is_written_reads_back_the_same(
    prompt: str, seed: int, guidance: float, tags: list[str], moment: datetime, cost: Any
) -> None:
    record = Record(
        prompt=prompt,
        backend="b",
        seed=seed,
        steps=1,
        width=64,
        height=64,
        guidance=guidance,
        tags=tags,
        created_at=moment,
        cost_usd_estimate=cost,
    )
    assert Record.from_sidecar(record.to_sidecar()) == record
    assert record.created_at == moment.astimezone(UTC)


def test_times_are_kept_in_utc_and_need_a_zone(make_record: Make) -> None:
    noon = datetime(2026, 5, 11, 12, tzinfo=timezone(timedelta(hours=2)))
    assert make_record(created_at=noon).created_at == datetime(2026, 5, 11, 10, tzinfo=UTC)
    assert make_record(created_at=noon).created_at.tzinfo is UTC
    with pytest.raises(ValueError, match="timezone"):
        make_record(created_at=datetime(2026, 5, 11))


def test_keys_of_a_newer_schema_are_ignored_and_its_number_kept(make_record: Make) -> None:
    newer = json.loads(make_record().to_sidecar()) | {"schema_version": 7, "mood": "calm"}
    record = Record.from_sidecar(json.dumps(newer))
    assert record.schema_version == 7
    assert not hasattr(record, "mood")


def test_a_hash_that_was_tampered_with_does_not_survive_reading(make_record: Make) -> None:
    forged = json.loads(make_record().to_sidecar()) | {"prompt_hash": "0" * 64}
    assert Record.from_sidecar(json.dumps(forged)).prompt_hash == make_record().prompt_hash


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"prompt": "x"}', "\0", '{"prompt": 3}'])
def test_a_torn_sidecar_is_one_clear_line(text: str) -> None:
    with pytest.raises(StorageError, match="not the record of a picture: ") as caught:
        Record.from_sidecar(text)
    assert "\n" not in str(caught.value)


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.just("\ud800")
    | st.sampled_from(["0001-01-01T00:00:00+05:00", str(new_id()), str(10**30)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(sorted(Record.model_fields)), ANY_JSON, max_size=4))
def test_whatever_a_sidecar_holds_it_is_a_record_or_one_clear_line(odd: dict[str, Any]) -> None:
    usual = {"prompt": "x", "backend": "b", "seed": 1, "steps": 1, "width": 64, "height": 64}
    text = json.dumps(usual | odd)
    try:
        record = Record.from_sidecar(text)
    except StorageError:
        with pytest.raises(StorageError, match=r"^not the record of a picture: [^\n]*$"):
            Record.from_sidecar(text)
    else:
        assert Record.from_sidecar(record.to_sidecar()).to_sidecar() == record.to_sidecar()
        record.to_sidecar().encode()


def test_the_record_in_the_png_knows_nothing_of_the_file_it_is_in(make_record: Make) -> None:
    record = make_record(storage_path="d/x.png", sha256="ab", bytes=3)
    inside = Record.from_sidecar(record.to_png_chunk())
    assert (inside.storage_path, inside.sha256, inside.bytes) == (None, None, None)
    assert inside == record.model_copy(update={"storage_path": None, "sha256": None, "bytes": None})


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_no_control_character_of_a_prompt_reaches_a_png_chunk(prompt: str) -> None:
    record = Record(prompt=prompt, backend="b", seed=1, steps=1, width=64, height=64)
    chunks = png_texts(record)
    assert "\0" not in chunks["parameters"] + chunks["imagen_nb"]
    assert "\x1b" not in chunks["parameters"]
    assert Record.from_sidecar(chunks["imagen_nb"]).prompt == prompt


class Odd:
    def __str__(self) -> str:
        return "something odd"


def test_options_that_json_cannot_hold_are_kept_as_their_text(make_record: Make) -> None:
    record = make_record(options={"strength": 0.5, "size": (1, 2), "odd": Odd()})
    assert json.loads(record.to_sidecar())["options"] == {
        "strength": 0.5,
        "size": [1, 2],
        "odd": "something odd",
    }


def test_what_decides_the_pixels_decides_sameness_and_nothing_else(make_record: Make) -> None:
    first = make_record(tags=("a",), options={"size": (1, 2)})
    again = make_record(tags=("b",), options={"size": [1, 2]}, latency_ms=9, cloud=False)
    assert first.id != again.id
    assert first.decides() == again.decides()
    for change in (
        {"steps": 5},
        {"seed": 12},
        {"guidance": 1.0},
        {"model": "other"},
        {"width": 48},
    ):
        assert make_record(**change).decides() != make_record().decides()


def test_ids_are_new_each_time() -> None:
    assert isinstance(new_id(), UUID)
    assert new_id() != new_id()


def test_a_record_does_not_change(make_record: Make) -> None:
    with pytest.raises(ValueError, match="frozen"):
        make_record().prompt = "another"


def test_a_picture_without_a_seed_says_so_in_every_face_and_is_like_no_other(
    make_record: Make,
) -> None:
    record = make_record(seed=None)
    assert Record.from_sidecar(record.to_sidecar()) == record
    assert record.to_row()["seed"] is None
    assert "Seed" not in webui_text(record)
    assert record.decides() == record.decides()
    assert record.decides() != make_record(seed=None).decides()


@pytest.mark.parametrize("name", ["id", "created_at"])
def test_what_is_made_when_it_is_drawn_is_not_made_up_when_it_is_read(
    name: str, make_record: Make
) -> None:
    """Each reading would have found another picture."""
    values = make_record().snapshot()
    del values[name]
    with pytest.raises(StorageError, match=f"it has no {name}$"):
        Record.from_sidecar(json.dumps(values))
