"""A gallery of pictures that are in the cloud alone, from a real server, by signed URLs."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import imagen_nb as im
from imagen_nb.cloud.errors import BUCKET
from imagen_nb.studio.studio import Studio
from imagen_nb.system.paths import cache_folder
from tests.fixtures.fault_proxy import FAULTS, Fault, FaultProxy
from tests.fixtures.server_state import ServerState
from tests.fixtures.views import View

Open = Callable[..., View]


@pytest.fixture
def frame(away: Studio) -> pd.DataFrame:
    """Six pictures that are in the cloud only."""
    return away.history(source="cloud")


def read(proxy: FaultProxy) -> list[str]:
    """The objects that were read by signed URLs."""
    return [p for method, p in proxy.requests if method == "GET" and "/object/sign/" in p]


def want(shown: View, count: int = 6) -> dict[int, tuple[bytes, str]]:
    """Asks for all thumbnails: of each position the file, or why there is none."""
    shown.heard.clear()
    shown.say("want", at=[*range(count)])
    shown.wait("cards", -(-count // 6))
    return {
        at: (file, trouble)
        for told, files in shown.heard
        for at, file, trouble in zip(told["at"], files, told["troubles"], strict=True)
    }


def test_thumbnails_come_by_signed_urls_once_and_are_at_hand_offline(
    frame: pd.DataFrame, view: Open, proxy: FaultProxy
) -> None:
    assert frame["local_path"].isna().all()
    first = want(view(frame))
    assert len(first) == len(set(read(proxy))) == len(read(proxy)) == 6
    for at, (file, trouble) in first.items():
        assert trouble == ""
        assert file[8:12] == b"WEBP"
        assert len(file) <= 12_000
        assert Image.open(io.BytesIO(file)).size == (frame["width"][at], frame["height"][at])
    assert len([*(cache_folder() / "thumbnails").glob("*.webp")]) == 6
    proxy.down = True
    assert want(view(frame)) == first
    assert len(read(proxy)) == 6


def test_an_enlarged_picture_and_a_pair_are_the_clouds_own_bytes(
    frame: pd.DataFrame, view: Open, elsewhere: Path
) -> None:
    shown = view(frame)
    files = {path.read_bytes() for path in elsewhere.glob("*.png")}
    told, (large,) = shown.ask("look", "picture", at=[3])
    assert large in files
    assert ["seed", str(frame["seed"][3])] in told["facts"]
    assert told["path"] == ""
    told, pair = shown.ask("compare", "compared", at=[1, 4])
    assert {*pair} < files
    assert ["seed", str(frame["seed"][1]), str(frame["seed"][4])] in told["rows"]


def test_a_rating_is_written_where_the_picture_is(
    frame: pd.DataFrame, view: Open, away: Studio, server: ServerState
) -> None:
    view(frame).ask("tag", "tags", tag="5", at=[2])
    away.sync()
    tags = {row["id"]: row["tags"] for row in server.rows()}
    assert tags.pop(frame["id"][2]) == ["rating:5"]
    assert [*tags.values()] == [[]] * 5


def test_one_that_the_cloud_lacks_says_so_and_the_others_come(
    frame: pd.DataFrame, view: Open, server: ServerState
) -> None:
    gone = frame["storage_path"][4]
    server.client.storage.from_(BUCKET).remove([gone])
    cards = want(view(frame))
    assert cards[4] == (b"", f"there is no object {gone}, or no right to read it")
    assert all(file and not trouble for at, (file, trouble) in cards.items() if at != 4)


def test_another_picture_in_its_place_is_not_shown(
    frame: pd.DataFrame, view: Open, server: ServerState
) -> None:
    path = frame["storage_path"][0]
    foreign = io.BytesIO()
    Image.new("RGB", (8, 8)).save(foreign, "PNG")
    options: Any = {"content-type": "image/png", "upsert": "true"}
    server.client.storage.from_(BUCKET).update(path, foreign.getvalue(), options)
    file, trouble = want(view(frame))[0]
    assert file == b""
    assert "is not the picture of its row" in trouble


def test_while_the_cloud_is_away_each_says_why_and_comes_afterwards(
    frame: pd.DataFrame, view: Open, proxy: FaultProxy
) -> None:
    def away(method: str, path: str) -> Fault | None:
        return FAULTS["400"] if "/object/" in path else None

    shown = view(frame)
    proxy.choose = away
    assert all(not file and trouble for file, trouble in want(shown).values())
    proxy.choose = lambda method, path: None
    assert all(file and not trouble for file, trouble in want(shown).values())


def test_the_saved_page_fetches_nothing_but_has_what_was_seen(
    frame: pd.DataFrame, view: Open, proxy: FaultProxy
) -> None:
    shown = view(frame)
    assert "data:image" not in shown.gallery._repr_html_()
    assert read(proxy) == []
    want(shown)
    assert shown.gallery._repr_html_().count("data:image/webp;base64,") == 6


def test_selected_rows_of_the_cloud_are_a_history(
    frame: pd.DataFrame, view: Open, proxy: FaultProxy
) -> None:
    shown = view(frame)
    shown.say("select", [np.array([5, 1], np.int32).tobytes()])
    chosen = shown.gallery.selected
    assert chosen["id"].tolist() == [frame["id"][1], frame["id"][5]]
    assert im.history(ids=chosen["id"].tolist(), source="cloud")["id"].isin(chosen["id"]).all()
