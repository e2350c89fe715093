"""Adopted pictures go up as they are: JPEG and WebP with their types and suffixes."""

from __future__ import annotations

from pathlib import Path

import httpx
from PIL import Image

from imagen_nb.studio.default import using
from imagen_nb.studio.studio import Studio
from tests.fixtures.server_state import ServerState, assert_nothing_lost
from tests.fixtures.supabase_fixtures import TwoUsers, settings


def test_each_goes_up_with_its_type_and_is_read_back_the_same(
    folder: Path, tmp_path: Path, local_supabase: TwoUsers, server: ServerState
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for name in ("a.png", "b.jpg", "c.webp", "b.jpeg"):
        Image.effect_noise((32, 16), 90).convert("RGB").save(theirs / name)
    with Studio(settings(folder, local_supabase), background=False) as studio, using(studio):
        studio.adopt(theirs)
        assert studio.sync().synced == 4
        assert studio.verify() == []
        urls = studio.history(source="cloud").imagen.signed_urls()
        types = sorted(httpx.get(url).headers["content-type"] for url in urls)
    assert types == ["image/jpeg", "image/jpeg", "image/png", "image/webp"]
    names = sorted(path.split("/")[-1] for path in server.objects())
    assert names == ["a.png", "b-2.jpg", "b.jpg", "c.webp"]
    assert_nothing_lost([folder], server, 4)
