"""The cache of pictures from the cloud: rows are untrusted, whoever wrote them."""

from __future__ import annotations

import datetime
import gzip
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from imagen_nb.cloud import picture_cache as cache
from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import BUCKET, ObjectMissingError, RejectedError
from imagen_nb.cloud.picture_cache import MAX_PICTURE_BYTES, CloudPicture, PictureCache
from tests.fixtures.fault_proxy import Fault, FaultProxy
from tests.fixtures.supabase_fixtures import TwoUsers

ATTACKS = [
    "../../etc/passwd", "/etc/passwd", "..", ".", "", "a/../../b.png", "C:\\Windows\\x.png", "CON.png",
    "a\0b.png", "~/.bashrc", "//host/share/x.png", "\ud800.png", "a" * 5000, "🐉/🐉.png",
]  # fmt: skip
DATA = b"\x89PNG as far as the bucket asks"


@pytest.fixture
def cloud(local_supabase: TwoUsers, proxy: FaultProxy) -> Iterator[Cloud]:
    """With a secret key, through the proxy."""
    key, owner = SecretStr(local_supabase.service_key), UUID(local_supabase.user_id)
    with closing(Cloud(Account(proxy.url, key, owner=owner), attempts=1)) as cloud:
        yield cloud


@pytest.fixture
def wanted(cloud: Cloud) -> Iterator[CloudPicture]:
    """A picture in the cloud."""
    path = f"{datetime.date.today()}/cached-1.png"
    cloud.upload(path, DATA)
    yield CloudPicture("some-id", path, hashlib.sha256(DATA).hexdigest(), len(DATA))
    remove(cloud, path)


def remove(cloud: Cloud, path: str) -> None:
    cloud._ask(lambda session: session.storage.from_(BUCKET).remove([path]))


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_row_names_a_file_outside_the_cache(attack: str, tmp_path: Path) -> None:
    for wanted in (CloudPicture("id", attack), CloudPicture(attack, "2026-05-11/x-1.png")):
        path = PictureCache(tmp_path).path(wanted)
        assert path.parent == tmp_path
        assert path.resolve().parent == tmp_path.resolve()
        assert len(path.name) < 100
        path.touch()


@given(st.uuids(), st.text(), st.text())
def test_different_objects_have_different_files(id: UUID, one: str, other: str) -> None:
    here = PictureCache(Path("c"))
    assert (here.path(CloudPicture(str(id), one)) == here.path(CloudPicture(str(id), other))) == (
        one == other
    )


def test_two_projects_may_have_a_picture_each_at_one_path() -> None:
    here = PictureCache(Path("c"))
    assert here.path(CloudPicture("one", "2026-05-11/x.png")) != here.path(
        CloudPicture("b", "2026-05-11/x.png")
    )


def test_an_object_is_read_once_and_a_missing_one_is_said(
    tmp_path: Path, cloud: Cloud, wanted: CloudPicture, proxy: FaultProxy
) -> None:
    here = PictureCache(tmp_path / "cache")
    assert here.fetch(cloud, wanted) == DATA
    proxy.down = True
    assert here.fetch(cloud, wanted) == DATA
    assert here.path(wanted).stat().st_mode & 0o077 == 0
    proxy.down = False
    with pytest.raises(ObjectMissingError, match="no object"):
        here.fetch(cloud, CloudPicture("x", "no/such.png"))


def test_the_users_cache_is_below_their_cache_folder(cloud: Cloud, wanted: CloudPicture) -> None:
    assert cache.cached_picture(wanted) is None
    assert cache.fetch_picture(cloud, wanted) == DATA
    assert cache.cached_picture(wanted) == DATA
    assert [*Path.home().glob(".cache/imagen/pictures/cached-1-*.png")] != []


def test_another_hash_is_an_error_and_leaves_nothing(
    tmp_path: Path, cloud: Cloud, wanted: CloudPicture
) -> None:
    here = PictureCache(tmp_path)
    with pytest.raises(RejectedError, match="another sha256"):
        here.fetch(cloud, replace(wanted, sha256="0" * 64))
    assert [*tmp_path.iterdir()] == []


def test_a_file_that_changed_in_the_cache_is_fetched_again(
    tmp_path: Path, cloud: Cloud, wanted: CloudPicture
) -> None:
    here = PictureCache(tmp_path)
    here.path(wanted).write_bytes(b"torn")
    assert here.get(wanted) is None
    assert here.fetch(cloud, wanted) == DATA
    assert here.path(wanted).read_bytes() == DATA


@pytest.mark.parametrize("said", [len(DATA) - 1, 0])
def test_no_more_is_read_than_the_row_says(
    tmp_path: Path, cloud: Cloud, wanted: CloudPicture, said: int
) -> None:
    with pytest.raises(RejectedError, match="larger than it should be"):
        PictureCache(tmp_path).fetch(cloud, replace(wanted, sha256=None, size=said))
    assert [*tmp_path.iterdir()] == []


def test_a_body_without_end_is_left(proxy: FaultProxy, cloud: Cloud) -> None:
    """Whatever its headers say: 60 MB come, and more than 50 MiB are not taken."""
    proxy.choose = lambda method, path: Fault("large", 200, b"\0" * 60_000_000)
    with pytest.raises(RejectedError, match="larger than it should be"):
        cloud.read(f"{proxy.url}/large", CloudPicture("x", "x.png").largest)


def test_a_small_answer_never_unpacks_to_a_large_one(proxy: FaultProxy, cloud: Cloud) -> None:
    packed = gzip.compress(b"\0" * 10_000_000)
    proxy.choose = lambda method, path: Fault("bomb", 200, packed, (("Content-Encoding", "gzip"),))
    assert cloud.read(f"{proxy.url}/bomb", MAX_PICTURE_BYTES) == packed


def put(here: PictureCache, number: int, size: int = 1000) -> Path:
    path = here.path(CloudPicture(str(number), f"2026-05-11/x-{number}.png"))
    here._put(path, bytes(size))
    os.utime(path, (number, number))  # seconds
    return path


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    here = PictureCache(tmp_path, limit=5000)
    paths = [put(here, number) for number in range(1, 6)]
    assert here.get(CloudPicture("1", "2026-05-11/x-1.png")) == bytes(1000)
    put(here, 6)
    put(here, 7)
    assert [path.exists() for path in paths] == [True, False, False, True, True]


def test_the_cache_stays_below_its_limit_with_several_processes(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from imagen_nb.cloud.picture_cache import PictureCache, CloudPicture\n"
        "here = PictureCache(Path(sys.argv[1]), limit=100_000)\n"
        "for number in range(300):\n"
        "    wanted = CloudPicture(str(number), f'2026-05-11/x-{number}.png')\n"
        "    here._put(here.path(wanted), number.to_bytes(2) * 1000)\n"
        "    found = here.get(wanted)\n"
        "    assert found in (None, number.to_bytes(2) * 1000), number\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    for process in running:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said.decode()
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert 50_000 < sum(sizes) <= 100_000 + 3 * 2 * 100_000 // 64
