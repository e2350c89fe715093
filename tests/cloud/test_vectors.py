"""Vectors follow their pictures into the cloud, and are found there by their owner alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import SecretStr

from imagen_nb.cloud import vectors
from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import RejectedError
from imagen_nb.cloud.vectors import find_in_cloud, push_vectors
from imagen_nb.cloud.worker import Worker
from imagen_nb.errors import CloudError
from imagen_nb.storage.vectors import VectorStore
from imagen_nb.studio.studio import Studio
from tests.fixtures.fault_proxy import FAULTS, FaultProxy
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


@pytest.fixture
def everything(local_supabase: TwoUsers) -> Iterator[Cloud]:
    """As the secret key sees it."""
    key = SecretStr(local_supabase.service_key)
    with closing(Cloud(Account(local_supabase.url, key, owner=uuid4()))) as cloud:
        yield cloud


def in_cloud(everything: Cloud) -> list[str]:
    rows = everything.rows([("model", f"eq.{MODEL}")], "image_id", "embeddings")
    return sorted(row["image_id"] for row in rows)


def test_vectors_go_up_with_a_sync_once_and_are_found(
    here: Studio, store: VectorStore, ids: list[str], cloud: Cloud, everything: Cloud
) -> None:
    report = here.sync()
    assert (report.vectors, report.trouble) == (4, None)
    assert report.summary.startswith("0 synced, 0 failed, 0 pending, 4 vectors (")
    assert in_cloud(everything) == sorted(ids)
    assert store.unsent() == []
    assert here.sync().vectors == 0
    hits = find_in_cloud(cloud, MODEL, 9 * store.vectors(ids)[2], 3)
    exact = store.vectors(ids) @ store.vectors(ids)[2]
    order = np.argsort(-exact)
    assert hits.ids == [ids[place] for place in order[:3]]
    assert hits.cosines == pytest.approx(exact[order[:3]], abs=1e-3)
    assert (hits.mean, hits.std) == pytest.approx((exact.mean(), exact.std()), abs=1e-3)
    assert hits.total == 4


def test_strangers_find_nothing_and_send_nothing_of_others(
    here: Studio, store: VectorStore, ids: list[str], stranger: Cloud, everything: Cloud
) -> None:
    assert push_vectors(here.catalog(), stranger) == 4  # as it thinks: none has a picture there
    assert in_cloud(everything) == []
    store.forget_sent(ids)
    assert here.sync().vectors == 4
    for some in (None, ids):
        hits = find_in_cloud(stranger, MODEL, store.vectors(ids)[0], 9, some)
        assert (hits.ids, hits.total) == ([], 0)
        assert np.isnan([hits.mean, hits.std]).all()


def test_a_secret_key_finds_its_owners(
    here: Studio, store: VectorStore, ids: list[str], account: Account
) -> None:
    here.sync()
    with closing(Cloud(account)) as cloud:
        assert find_in_cloud(cloud, MODEL, store.vectors(ids)[1], 1).ids == [ids[1]]
    with closing(Cloud(replace(account, owner=uuid4()))) as cloud:
        assert find_in_cloud(cloud, MODEL, store.vectors(ids)[1], 1).ids == []


def test_among_ids_more_than_one_request_takes(
    here: Studio,
    store: VectorStore,
    ids: list[str],
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here.sync()
    monkeypatch.setattr(vectors, "_IDS_PER_SEARCH", 2)
    exact = store.vectors(ids) @ store.vectors(ids)[0]
    hits = find_in_cloud(cloud, MODEL, store.vectors(ids)[0], 3, ids[1:])
    assert hits.ids == [ids[place] for place in np.argsort(-exact) if place][:3]
    assert find_in_cloud(cloud, MODEL, store.vectors(ids)[0], 3, []).ids == []


def test_other_dimensions_and_no_direction_are_said(
    here: Studio, store: VectorStore, cloud: Cloud
) -> None:
    here.sync()
    with pytest.raises(RejectedError, match=r"have 256 dimensions, the query has 8$"):
        find_in_cloud(cloud, MODEL, units(1, 8)[0], 3)
    with pytest.raises(RejectedError, match=r"no direction$"):
        find_in_cloud(cloud, MODEL, np.zeros(SIZE, np.float32), 3)


def test_they_go_up_in_the_background(
    here: Studio, store: VectorStore, ids: list[str], signed_in: Account, everything: Cloud
) -> None:
    worker = Worker(signed_in, 60)
    worker.notify(here.catalog())
    worker.close()
    assert in_cloud(everything) == sorted(ids)
    assert store.unsent() == []


def test_nothing_goes_up_of_pictures_that_are_not_there(
    folder: Path,
    local_supabase: TwoUsers,
    server: ServerState,
    everything: Cloud,
    cloud: Cloud,
) -> None:
    render(folder, 2)
    with Studio(settings(folder, local_supabase), background=False) as studio:
        ids = [*studio.history(source="local")["id"]]
        store = VectorStore(studio.catalog().folder, MODEL, SIZE)
        store.add(ids, units(2))
        assert push_vectors(studio.catalog(), cloud) == 0
        with studio.catalog().transaction() as connection:
            connection.execute("UPDATE images SET cloud_state = 'off' WHERE id = ?", [ids[0]])
        assert studio.sync().vectors == 1
        assert in_cloud(everything) == [ids[1]]
        assert store.unsent() == [ids[0]]


def test_a_vector_without_a_direction_stays_here(
    here: Studio, ids: list[str], everything: Cloud
) -> None:
    store = VectorStore(here.catalog().folder, MODEL, SIZE)
    store.add(ids, np.zeros((4, SIZE), np.float32))
    assert here.sync().vectors == 0
    assert store.unsent() == []
    assert in_cloud(everything) == []


def test_they_leave_with_a_deleted_picture_and_come_back_with_it(
    here: Studio, store: VectorStore, ids: list[str], everything: Cloud
) -> None:
    here.sync()
    here.delete(ids[0])
    assert here.sync().removed == 1
    assert in_cloud(everything) == sorted(ids[1:])
    here.restore(ids[0])
    report = here.sync()
    assert (report.synced, report.vectors) == (1, 1)
    assert in_cloud(everything) == sorted(ids)


def test_one_picture_removed_elsewhere_keeps_no_other_back(
    here: Studio, store: VectorStore, ids: list[str], everything: Cloud, cloud: Cloud
) -> None:
    cloud.delete([("id", f"eq.{ids[0]}")])
    report = here.sync()
    assert report.trouble is None
    assert in_cloud(everything) == sorted(ids[1:])
    assert store.unsent() == []  # it is not tried again and again
    here.repair()
    assert here.sync().vectors == 1
    assert in_cloud(everything) == sorted(ids)


def test_it_stops_where_it_is_told_to(
    here: Studio, store: VectorStore, ids: list[str], cloud: Cloud
) -> None:
    assert push_vectors(here.catalog(), cloud, lambda: False) == 0
    assert len(store.unsent()) == 4


def test_faults_on_the_way_lose_nothing(
    here: Studio,
    store: VectorStore,
    ids: list[str],
    signed_in: Account,
    proxy: FaultProxy,
    everything: Cloud,
) -> None:
    faults = iter(FAULTS.values())
    proxy.choose = lambda method, path: next(faults, None) if "embeddings" in path else None
    for _ in FAULTS:
        with closing(Cloud(signed_in, attempts=1)) as cloud, suppress(CloudError):
            push_vectors(here.catalog(), cloud)
    with closing(Cloud(signed_in)) as cloud:
        push_vectors(here.catalog(), cloud)
    assert in_cloud(everything) == sorted(ids)
    assert store.unsent() == []
