"""Images that pictures were drawn from: in the cloud too, for their owner alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import SecretStr

from imagen_nb.cloud.account import Account
from imagen_nb.cloud.client import Cloud
from imagen_nb.errors import BackendError, CloudError
from imagen_nb.storage.input_files import INPUTS_FOLDER
from imagen_nb.studio.studio import Studio
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers, settings

Make = Callable[[str], Studio]


@pytest.fixture
def machine(local_supabase: TwoUsers, tmp_path: Path, server: ServerState) -> Make:
    """A session on another machine, of the same user."""

    def make(name: str, **more: Any) -> Studio:
        chosen = settings(tmp_path / name, local_supabase)
        drawing = {"backend": "flux-tiny-local", "steps": 2}
        return Studio({**chosen, **drawing, **more}, background=False)

    return make


@pytest.fixture
def sketch(tmp_path: Path) -> Path:
    path = tmp_path / "sketch.jpg"
    Image.new("RGB", (128, 128), "navy").save(path)
    return path


def inputs_in(server: ServerState) -> list[str]:
    return sorted(path for path in server.objects() if f"/{INPUTS_FOLDER}/" in path)


def test_another_machine_draws_from_them_again(
    machine: Make, sketch: Path, server: ServerState, local_supabase: TwoUsers
) -> None:
    with machine("box") as box:
        drawn = box.generate("a boat", seed=1, init_image=sketch)
        assert box.sync().synced == 1
    (digest,) = [one["sha256"] for one in drawn.record.inputs]
    assert inputs_in(server) == [f"{local_supabase.user_id}/{INPUTS_FOLDER}/{digest}.jpg"]
    with machine("laptop") as laptop:
        again = laptop.reproduce(str(drawn.record.id))
    assert again.identical


def test_each_is_sent_once_whatever_was_drawn_from_it(
    machine: Make, sketch: Path, server: ServerState
) -> None:
    with machine("box") as box:
        box.sweep("a {red|blue} boat", seeds=[1, 2], init_image=sketch)
        assert box.sync().synced == 4
        box.generate("a house", seed=3, init_image=sketch)
        assert box.sync().synced == 1
        assert box.verify() == []
    assert len(inputs_in(server)) == 1


def test_a_picture_goes_up_without_one_that_is_gone(
    machine: Make, sketch: Path, server: ServerState
) -> None:
    with machine("box") as box:
        drawn = box.generate("a boat", seed=1, init_image=sketch)
        (file,) = [one["file"] for one in drawn.record.inputs]
        (drawn.path.parent / file).unlink()
        assert box.sync().synced == 1
    assert inputs_in(server) == []
    with machine("laptop") as laptop, pytest.raises(BackendError, match="init_image"):
        laptop.reproduce(str(drawn.record.id))


def test_a_secret_key_puts_them_into_the_folder_of_their_owner(
    machine: Make, sketch: Path, server: ServerState, local_supabase: TwoUsers, tmp_path: Path
) -> None:
    account = {"url": local_supabase.url, "key": local_supabase.service_key}
    owner = {"owner_user_id": local_supabase.user_id, "supabase": account}
    with machine("box", **owner) as box:
        drawn = box.generate("a boat", seed=1, init_image=sketch)
        assert box.sync().synced == 1
    assert inputs_in(server)[0].startswith(f"{local_supabase.user_id}/")
    with machine("viewer") as viewer:  # signed in, without that key
        assert viewer.reproduce(str(drawn.record.id)).identical


def test_a_stranger_sees_neither_that_one_is_there_nor_what_it_is(
    machine: Make, sketch: Path, server: ServerState, local_supabase: TwoUsers
) -> None:
    with machine("box") as box:
        box.generate("a boat", seed=1, init_image=sketch)
        box.sync()
    (path,) = inputs_in(server)
    stranger = Account(
        local_supabase.url,
        SecretStr(local_supabase.anon_key),
        local_supabase.other.email,
        SecretStr(local_supabase.other.password),
    )
    with closing(Cloud(stranger)) as cloud:
        assert cloud.object_info(path) is None
        assert cloud.signed_urls([path]) == {path: None}
        with pytest.raises(CloudError, match=r"row-level security|403|42501"):
            cloud.upload(path, sketch.read_bytes())
