"""The cache of pictures from the cloud: rows are untrusted, whoever wrote them."""

from __future__ import annotations

import datetime
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from imagen_nb.cloud.answers import BUCKET, Missing
from imagen_nb.cloud.cache import cached_path, fetch
from imagen_nb.cloud.client import Account, Cloud

ATTACKS = [
    "../../etc/passwd", "/etc/passwd", "..", ".", "", "a/../../b.png", "C:\\Windows\\x.png", "CON.png",
    "a\0b.png", "~/.bashrc", "//host/share/x.png", "\ud800.png", "a" * 5000, "🐉/🐉.png",
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_row_names_a_file_outside_the_cache(attack: str, tmp_path: Path) -> None:
    path = cached_path(tmp_path, attack)
    assert path.parent == tmp_path
    assert path.resolve().parent == tmp_path.resolve()
    assert len(path.name) < 100
    path.touch()


@given(st.text(), st.text())
def test_different_objects_have_different_files(one: str, other: str) -> None:
    same = cached_path(Path("c"), one) == cached_path(Path("c"), other)
    assert same == (one == other)


def test_an_object_is_read_once_and_a_missing_one_is_said(
    tmp_path: Path, local_supabase: Any
) -> None:
    account = Account(
        local_supabase.url,
        SecretStr(local_supabase.service_key),
        owner=UUID(local_supabase.user_id),
    )
    path = f"{datetime.date.today()}/cached-1.png"
    with closing(Cloud(account)) as cloud:
        cloud.upload(path, b"\x89PNG as far as the bucket asks")
        kept = fetch(cloud, path, tmp_path)
        assert kept.read_bytes() == b"\x89PNG as far as the bucket asks"
        cloud._ask(lambda session: session.storage.from_(BUCKET).remove([path]))
        assert fetch(cloud, path, tmp_path) == kept
        with pytest.raises(Missing, match="no object"):
            fetch(cloud, "no/such.png", tmp_path)
