"""Vectors follow their pictures into the cloud, and are found there by their owner alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import SecretStr

from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import RejectedError
from imagen_nb.cloud.vectors import find_in_cloud
from imagen_nb.storage.vectors import VectorStore
from imagen_nb.studio.studio import Studio
from tests.fixtures.pictures import render
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers, settings

MODEL, SIZE = "tiny-1", 256


def units(count: int, size: int = SIZE, seed: int = 1) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def here(folder: Path, local_supabase: TwoUsers, server: ServerState) -> Iterator[Studio]:
    """A machine with four pictures, which the cloud has too."""
    render(folder, 4)
    with Studio(settings(folder, local_supabase), background=False) as studio:
        assert studio.sync().synced == 4
        yield studio


@pytest.fixture
def store(here: Studio, ids: list[str]) -> VectorStore:
    """The vectors of its pictures, kept here."""
    store = VectorStore(here.catalog().folder, MODEL, SIZE)
    store.add(ids, units(4))
    return store


@pytest.fixture
def ids(here: Studio) -> list[str]:
    return [*here.history(source="local")["id"]]


@pytest.fixture
def cloud(signed_in: Account) -> Iterator[Cloud]:
    with closing(Cloud(signed_in)) as cloud:
        yield cloud


@pytest.fixture
def stranger(local_supabase: TwoUsers) -> Iterator[Cloud]:
    other = local_supabase.other
    key = SecretStr(local_supabase.anon_key)
    with closing(
        Cloud(Account(local_supabase.url, key, other.email, SecretStr(other.password)))
    ) as cloud:
        yield cloud


def in_cloud(server: ServerState) -> list[str]:
    with closing(Cloud(Account(server.url, SecretStr(server.key)))) as cloud:
        return sorted(row["image_id"] for row in cloud.rows([], "image_id", "embeddings"))


def test_first(
    here: Studio, store: VectorStore, ids: list[str], cloud: Cloud, stranger: Cloud
) -> None:
    report = here.sync()
    assert (report.vectors, report.trouble) == (4, None)
    assert report.summary.startswith("0 synced, 0 failed, 0 pending, 4 vectors")
    assert store.unsent() == []
    assert here.sync().vectors == 0
    hits = find_in_cloud(cloud, MODEL, store.vectors(ids)[2], 3)
    print(hits)
    assert hits.ids[0] == ids[2] and hits.total == 4
    print(find_in_cloud(stranger, MODEL, store.vectors(ids)[2], 3))
    print(find_in_cloud(cloud, MODEL, store.vectors(ids)[2], 3, ids[:1]))
    with pytest.raises(RejectedError, match="256 dimensions"):
        find_in_cloud(cloud, MODEL, units(1, 8)[0], 3)
