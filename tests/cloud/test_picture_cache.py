"""The cache of pictures from the cloud: rows are untrusted, whoever wrote them."""

from __future__ import annotations

import datetime
import gzip
import hashlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import ObjectMissingError, RejectedError
from imagen_nb.cloud.picture_cache import (
    MAX_PICTURE_BYTES,
    CloudPicture,
    PictureCache,
    cached_picture,
    fetch_picture,
)
from tests.fixtures.fault_proxy import Fault, FaultProxy
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers

ATTACKS = [
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "",
    "a/../../b.png",
    "C:\\Windows\\x.png",
    "CON.png",
    "a\0b.png",
    "~/.bashrc",
    "//host/share/x.png",
    "\ud800.png",
    "a" * 5000,
    "🐉/🐉.png",
]
DATA = b"\x89PNG as far as the bucket asks"


@pytest.fixture
def cloud(local_supabase: TwoUsers, proxy: FaultProxy) -> Iterator[Cloud]:
    """With a secret key, through the proxy."""
    key, owner = SecretStr(local_supabase.service_key), UUID(local_supabase.user_id)
    with closing(Cloud(Account(proxy.url, key, owner=owner), attempts=1)) as cloud:
        yield cloud


@pytest.fixture
def picture(cloud: Cloud, server: ServerState) -> CloudPicture:
    """A picture in the cloud, which holds nothing else."""
    path = f"{datetime.date.today()}/cached-1.png"
    cloud.upload(path, DATA)
    return CloudPicture("some-id", path, hashlib.sha256(DATA).hexdigest(), len(DATA))


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_row_names_a_file_outside_the_cache(attack: str, tmp_path: Path) -> None:
    for picture in (CloudPicture("id", attack), CloudPicture(attack, "2026-05-11/x-1.png")):
        path = PictureCache(tmp_path).path(picture)
        assert path.parent == tmp_path
        assert path.resolve().parent == tmp_path.resolve()
        assert len(path.name) < 100
        path.touch()


@given(st.uuids(), st.text(), st.text())
def test_different_objects_have_different_files(id: UUID, one: str, other: str) -> None:
    cache = PictureCache(Path("c"))
    paths = {cache.path(CloudPicture(str(id), path)) for path in (one, other)}
    assert len(paths) == len({one, other})


def test_two_projects_may_have_a_picture_each_at_one_path() -> None:
    cache = PictureCache(Path("c"))
    path = "2026-05-11/x.png"
    assert cache.path(CloudPicture("one", path)) != cache.path(CloudPicture("b", path))


def test_an_object_is_read_once_and_a_missing_one_is_said(
    tmp_path: Path, cloud: Cloud, picture: CloudPicture, proxy: FaultProxy
) -> None:
    cache = PictureCache(tmp_path / "cache")
    assert cache.fetch(cloud, picture) == DATA
    proxy.down = True
    assert cache.fetch(cloud, picture) == DATA
    assert cache.path(picture).stat().st_mode & 0o077 == 0
    proxy.down = False
    with pytest.raises(ObjectMissingError, match="no object"):
        cache.fetch(cloud, CloudPicture("x", "no/such.png"))


def test_the_users_cache_is_below_their_cache_folder(cloud: Cloud, picture: CloudPicture) -> None:
    assert cached_picture(picture) is None
    assert fetch_picture(cloud, picture) == DATA
    assert cached_picture(picture) == DATA
    assert [*Path.home().glob(".cache/imagen/pictures/cached-1-*.png")] != []


def test_another_hash_is_an_error_and_leaves_nothing(
    tmp_path: Path, cloud: Cloud, picture: CloudPicture
) -> None:
    cache = PictureCache(tmp_path)
    with pytest.raises(RejectedError, match="another sha256"):
        cache.fetch(cloud, replace(picture, sha256="0" * 64))
    assert [*tmp_path.iterdir()] == []


def test_a_file_that_changed_in_the_cache_is_fetched_again(
    tmp_path: Path, cloud: Cloud, picture: CloudPicture
) -> None:
    cache = PictureCache(tmp_path)
    cache.path(picture).write_bytes(b"torn")
    assert cache.get(picture) is None
    assert cache.fetch(cloud, picture) == DATA
    assert cache.path(picture).read_bytes() == DATA


@pytest.mark.parametrize("recorded", [len(DATA) - 1, 0])
def test_no_more_is_read_than_the_row_says(
    tmp_path: Path, cloud: Cloud, picture: CloudPicture, recorded: int
) -> None:
    with pytest.raises(RejectedError, match="larger than it should be"):
        PictureCache(tmp_path).fetch(cloud, replace(picture, sha256=None, size=recorded))
    assert [*tmp_path.iterdir()] == []


def test_a_body_without_end_is_left(proxy: FaultProxy, cloud: Cloud) -> None:
    """Whatever its headers say: 60 MB come, and more than 50 MiB are not taken."""
    proxy.choose = lambda method, path: Fault("large", 200, b"\0" * 60_000_000)
    with pytest.raises(RejectedError, match="larger than it should be"):
        cloud.read(f"{proxy.url}/large", CloudPicture("x", "x.png").max_bytes)


def test_a_small_answer_never_unpacks_to_a_large_one(proxy: FaultProxy, cloud: Cloud) -> None:
    packed = gzip.compress(b"\0" * 10_000_000)
    proxy.choose = lambda method, path: Fault("bomb", 200, packed, (("Content-Encoding", "gzip"),))
    assert cloud.read(f"{proxy.url}/bomb", MAX_PICTURE_BYTES) == packed


class Zeros:
    """A cloud whose every object is so many bytes."""

    def __init__(self, size: int = 1000) -> None:
        self.size = size

    def signed_urls(self, paths: list[str]) -> dict[str, str]:
        return {path: path for path in paths}

    def read(self, url: str, max_bytes: int) -> bytes:
        return bytes(self.size)


def fetch(cache: PictureCache, number: int) -> Path:
    picture = CloudPicture(str(number), f"2026-05-11/x-{number}.png")
    cache.fetch(cast(Cloud, Zeros()), picture)
    path = cache.path(picture)
    os.utime(path, (number, number))  # seconds
    return path


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path, limit=5000)
    paths = [fetch(cache, number) for number in range(1, 6)]
    assert cache.get(CloudPicture("1", "2026-05-11/x-1.png")) == bytes(1000)
    fetch(cache, 6)
    fetch(cache, 7)
    assert [path.exists() for path in paths] == [True, False, False, True, True]


ROOT = Path(__file__).parents[2]
PROCESS = """
    import sys
    sys.path.insert(0, sys.argv[1])
    from pathlib import Path
    from imagen_nb.cloud.picture_cache import CloudPicture, PictureCache
    from tests.cloud.test_picture_cache import Zeros
    cache = PictureCache(Path(sys.argv[2]), limit=100_000)
    for number in range(300):
        picture = CloudPicture(str(number), f"2026-05-11/x-{number}.png")
        assert cache.fetch(Zeros(2000), picture) == bytes(2000), number
        assert cache.get(picture) in (None, bytes(2000)), number
"""


def test_the_cache_stays_below_its_limit_with_several_processes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(PROCESS), str(ROOT), str(tmp_path)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    for process in running:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error.decode()
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert 50_000 < sum(sizes) <= 100_000 + 3 * 2 * 100_000 // 64
