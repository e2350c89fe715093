"""Pictures that only the cloud still has are drawn again, and compared with its files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from imagen_nb.cloud.errors import BUCKET
from imagen_nb.errors import UsageError
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import Record
from imagen_nb.studio.default import using
from imagen_nb.studio.studio import Studio
from tests.fixtures.fault_proxy import FaultProxy
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers

FAST: dict[str, Any] = {"progress": False, "steps": 2}


@dataclass(frozen=True, slots=True)
class Lost:
    """A picture that was: what is known of it, and its pixels."""

    record: Record
    pixels: bytes

    def is_again(self, picture: Picture) -> None:
        """Asserts that this picture was drawn anew, and is the same."""
        assert (picture.identical, picture.differs) == (True, ())
        assert picture.image.tobytes() == self.pixels
        assert picture.record.id != self.record.id
        assert picture.record.decides() == self.record.decides()


def settings(folder: Path, supabase: TwoUsers, url: str | None = None) -> dict[str, Any]:
    account = {"url": url or supabase.url, "key": supabase.anon_key}
    account |= {"email": supabase.email, "password": supabase.password}
    output = {"dir": str(folder)}
    return {"output": output, "supabase": account, "backend": "flux-tiny-local"}


@pytest.fixture
def lost(folder: Path, local_supabase: TwoUsers, server: ServerState) -> dict[str, Lost]:
    """Two pictures of one batch and a single one: in the cloud, and nowhere else any more."""
    with Studio(settings(folder, local_supabase), background=False) as studio:
        pictures = [*studio.sweep("a {red|blue} boat", seeds=[7], **FAST)]
        pictures.append(studio.generate("a moon", seed=11, guidance=0.5, tags=["old"], **FAST))
        assert studio.sync().synced == 3
        kept = {p.record.prompt: Lost(p.record, p.image.tobytes()) for p in pictures}
    shutil.rmtree(folder)
    return kept


@pytest.fixture
def studio(
    lost: dict[str, Lost], folder: Path, local_supabase: TwoUsers, proxy: FaultProxy
) -> Iterator[Studio]:
    """The default session, after the loss; it asks through the proxy."""
    own = settings(folder, local_supabase, proxy.url)
    with Studio(own, background=False) as studio, using(studio):
        yield studio


@pytest.fixture
def history(studio: Studio) -> pd.DataFrame:
    frame = studio.history(source="cloud")
    assert frame["local_path"].isna().all()
    return frame


def objects_read(proxy: FaultProxy) -> int:
    return sum(method == "GET" and "/object/sign/" in path for method, path in proxy.requests)


@pytest.mark.parametrize("sidecar", [False, True], ids=["columns", "with sidecars"])
def test_rows_that_exist_only_in_the_cloud(
    studio: Studio, lost: dict[str, Lost], proxy: FaultProxy, sidecar: bool
) -> None:
    """Each with its place in the batch, which no column says but its record does."""
    for _, row in studio.history(source="cloud", sidecar=sidecar).iterrows():
        lost[row["prompt"]].is_again(studio.reproduce(row, progress=False))
    assert objects_read(proxy) == 3


@pytest.mark.parametrize("digits", [8, 36])
def test_an_id_that_only_the_cloud_knows(
    studio: Studio, lost: dict[str, Lost], proxy: FaultProxy, digits: int
) -> None:
    one = lost["a moon"]
    one.is_again(studio.reproduce(str(one.record.id)[:digits], progress=False))
    assert objects_read(proxy) == 1


def test_what_was_fetched_once_is_not_fetched_again(
    studio: Studio, lost: dict[str, Lost], proxy: FaultProxy
) -> None:
    one = lost["a moon"]
    for folder in ("first", "second"):
        place = Path(studio.settings.output.dir) / folder
        one.is_again(studio.reproduce(one.record.id, output=place, progress=False))
    assert objects_read(proxy) == 1


def test_it_goes_up_beside_the_one_it_repeats(
    studio: Studio, lost: dict[str, Lost], server: ServerState
) -> None:
    one = lost["a moon"]
    again = studio.reproduce(one.record.id, progress=False)
    assert studio.sync().synced == 1
    rows = {row["id"]: row for row in server.rows() if row["prompt"] == "a moon"}
    assert rows.keys() == {str(one.record.id), str(again.record.id)}
    assert len({row["storage_path"] for row in rows.values()}) == 2


def test_from_a_frame_by_position_and_by_id(
    history: pd.DataFrame, lost: dict[str, Lost], proxy: FaultProxy
) -> None:
    for which in (0, -1, history["id"].iloc[1]):
        row = history.iloc[which] if isinstance(which, int) else history.iloc[1]
        lost[row["prompt"]].is_again(history.imagen.reproduce(which, progress=False))
    assert objects_read(proxy) == 3


def test_one_thing_is_changed_of_a_row_of_the_cloud(
    studio: Studio, history: pd.DataFrame, lost: dict[str, Lost], proxy: FaultProxy
) -> None:
    row = history[history["prompt"] == "a moon"].iloc[0]
    other = studio.generate(like=row, steps=3, progress=False)
    before = lost["a moon"].record
    assert (other.record.steps, before.steps) == (3, 2)
    same = ("prompt", "seed", "width", "height", "guidance", "max_sequence_length", "backend")
    assert [getattr(other.record, n) for n in same] == [getattr(before, n) for n in same]
    assert other.record.tags == ()
    assert other.image.tobytes() != lost["a moon"].pixels
    unchanged = studio.generate(like=row, progress=False)
    assert unchanged.image.tobytes() == lost["a moon"].pixels
    assert objects_read(proxy) == 0  # nothing is compared


def test_a_lost_object_is_drawn_again_and_not_called_identical(
    studio: Studio, lost: dict[str, Lost], server: ServerState
) -> None:
    one = lost["a moon"]
    (path,) = (row["storage_path"] for row in server.rows() if row["id"] == str(one.record.id))
    server.client.storage.from_(BUCKET).remove([path])
    again = studio.reproduce(one.record.id, progress=False)
    assert again.identical is None
    assert again.image.tobytes() == one.pixels


def test_what_is_nowhere_is_refused(studio: Studio) -> None:
    with pytest.raises(UsageError, match="in this machine's catalog or the cloud"):
        studio.reproduce("00000000-0000-4000-8000-000000000000", progress=False)


def test_with_the_cloud_off_a_picture_of_this_machine_is_repeated_without_a_request(
    folder: Path, local_supabase: TwoUsers, proxy: FaultProxy
) -> None:
    off: dict[str, Any] = {"cloud": False, "progress": False}
    with Studio(settings(folder, local_supabase, proxy.url)) as studio:
        first = studio.generate("a red star", seed=4, steps=2, **off)
        row = studio.history(source="local").iloc[0]
        for what in (first, first.record, first.record.id, first.path, row["id"][:8], row):
            again = studio.reproduce(what, **off)
            assert (again.identical, again.cloud) == (True, "off")
        other = studio.generate(like=first, steps=3, **off)
        assert (other.record.steps, other.cloud) == (3, "off")
    assert proxy.requests == []
