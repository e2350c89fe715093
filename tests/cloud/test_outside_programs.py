"""Programs that are not ours go on working: a writer with a secret key, and a viewer that signs in.

Both use @supabase/supabase-js, as the first users' do. docs/seed.md says what is shown here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imagen_nb.cloud.account import Account
from imagen_nb.storage.catalog import Catalog
from imagen_nb.studio.studio import Studio
from tests.fixtures.outside_programs import view_as_others_do, write_as_others_do
from tests.fixtures.pictures import DAY, render, sync
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import TwoUsers, User, settings

PATH = f"{DAY}/a-boat-0.png"  # which a picture of ours has too, sent with a secret key


@pytest.fixture
def owner(local_supabase: TwoUsers) -> User:
    return User(local_supabase.email, local_supabase.password, local_supabase.user_id)


def with_secret_key(folder: Path, supabase: TwoUsers) -> dict[str, Any]:
    """The settings of a machine that knows the secret key, as the writer does."""
    return {
        "output": {"dir": str(folder)},
        "supabase": {"url": supabase.url, "key": supabase.service_key},
        "owner_user_id": supabase.user_id,
    }


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("signed_in", [True, False], ids=["signed in", "with the secret key"])
def test_the_history_has_what_a_writer_wrote(
    signed_in: bool, local_supabase: TwoUsers, folder: Path
) -> None:
    answer, _ = write_as_others_do(local_supabase, PATH, "a boat", seed=0, shade=200)
    assert answer["path"] == PATH
    how = settings if signed_in else with_secret_key
    with Studio(how(folder, local_supabase), background=False) as studio:
        (row,) = studio.history(source="cloud", sidecar=True).to_dict("records")
    assert (str(row["id"]), row["storage_path"]) == (answer["id"], PATH)
    assert (row["prompt"], row["seed"], row["tags"]) == ("a boat", 0, ["theirs"])
    assert row["sidecar"] == {"written_by": "another program"}


def test_our_sync_leaves_a_writers_object_as_it_is(
    local_supabase: TwoUsers, server: ServerState, account: Account, folder: Path
) -> None:
    answer, sha256 = write_as_others_do(local_supabase, PATH, "a boat", seed=0, shade=200)
    render(folder, 1)
    assert sync(folder, account).synced == 1
    (ours,) = Catalog(folder).select("")
    assert ours.record.storage_path == f"{DAY}/a-boat-0-2.png"
    assert {path: server.sha256(path) for path in server.objects()} == {
        PATH: sha256,
        ours.record.storage_path: ours.record.sha256,
    }
    rows = {row["id"]: row["storage_path"] for row in server.rows()}
    assert rows == {answer["id"]: PATH, str(ours.record.id): ours.record.storage_path}


def test_what_a_writer_replaced_is_found_and_sent_again_beside_it(
    local_supabase: TwoUsers, server: ServerState, account: Account, folder: Path
) -> None:
    render(folder, 1)
    assert sync(folder, account).synced == 1
    _, sha256 = write_as_others_do(local_supabase, PATH, "a boat", seed=0, shade=200)
    assert {path: server.sha256(path) for path in server.objects()} == {PATH: sha256}
    with Studio(with_secret_key(folder, local_supabase), background=False) as studio:
        assert len(studio.verify()) == 1
        studio.repair()
        assert studio.verify() == []
    (ours,) = Catalog(folder).select("")
    assert {path: server.sha256(path) for path in server.objects()} == {
        PATH: sha256,
        f"{DAY}/a-boat-0-2.png": ours.record.sha256,
    }


def test_a_viewer_sees_theirs_and_ours_and_its_tags_are_in_our_history(
    local_supabase: TwoUsers, server: ServerState, signed_in: Account, owner: User, folder: Path
) -> None:
    theirs, sha256 = write_as_others_do(local_supabase, PATH, "a boat", seed=0, shade=200)
    render(folder, 1)
    assert sync(folder, signed_in).synced == 1
    (ours,) = Catalog(folder).select("")
    found = view_as_others_do(local_supabase, owner, tag="seen")
    assert found["user"] == owner.id
    assert {row["id"]: row["sha256"] for row in found["seen"]} == {
        theirs["id"]: sha256,
        str(ours.record.id): ours.record.sha256,
    }
    assert ours.record.storage_path == f"{owner.id}/{PATH}"
    assert found["refused"] == {"another column": "42501"}
    with Studio(settings(folder, local_supabase), background=False) as studio:
        frame = studio.history(source="cloud", tags=["seen"])
    assert {str(id): tags for id, tags in zip(frame["id"], frame["tags"], strict=True)} == {
        theirs["id"]: ["theirs", "seen"],
        str(ours.record.id): ["seen"],
    }


@pytest.mark.usefixtures("server")
def test_a_stranger_sees_nothing_of_it(local_supabase: TwoUsers) -> None:
    write_as_others_do(local_supabase, PATH, "a boat", seed=0, shade=200)
    found = view_as_others_do(local_supabase, local_supabase.other, tag="seen")
    assert (found["user"], found["seen"]) == (local_supabase.other.id, [])
