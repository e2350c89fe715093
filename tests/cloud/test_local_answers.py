"""Each way in which Supabase Lite differs from hosted Supabase is put right."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
from postgrest import APIError
from storage3.exceptions import StorageApiError
from supabase import Client, create_client
from supabase.lib.client_options import SyncClientOptions
from supabase_auth.errors import AuthApiError

from imagen_nb.cloud.errors import BUCKET
from imagen_nb.cloud.local import state
from tests.fixtures.supabase_fixtures import TwoUsers

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
OPTIONS: Any = {"content-type": "image/png", "upsert": "false"}
OVERWRITE: Any = {"content-type": "image/png", "upsert": "true"}

Connect = Callable[..., Client]


@pytest.fixture(scope="module")
def connect(local_supabase: TwoUsers) -> Iterator[Connect]:
    """Clients as the product makes them; their connections end with the module."""
    with ExitStack() as stack:

        def connected(key: str, email: str | None = None, password: str = "") -> Client:
            http = stack.enter_context(httpx.Client(timeout=120))
            options = SyncClientOptions(
                auto_refresh_token=False, persist_session=False, httpx_client=http
            )
            client = create_client(local_supabase.url, key, options)
            if email:
                client.auth.sign_in_with_password({"email": email, "password": password})
            return client

        yield connected


@pytest.fixture(scope="module")
def service(local_supabase: TwoUsers, connect: Connect) -> Client:
    """With the secret key."""
    return connect(local_supabase.service_key)


@pytest.fixture(scope="module")
def owner(local_supabase: TwoUsers, connect: Connect) -> Client:
    """Signed in as the first user."""
    return connect(local_supabase.anon_key, local_supabase.email, local_supabase.password)


@pytest.fixture(scope="module")
def stranger(local_supabase: TwoUsers, connect: Connect) -> Client:
    """Signed in as the second user."""
    other = local_supabase.other
    return connect(local_supabase.anon_key, other.email, other.password)


@pytest.fixture
def path(local_supabase: TwoUsers) -> str:
    """A new one in the first user's folder."""
    return f"{local_supabase.user_id}/2026-05-11/{uuid4()}.png"


@pytest.fixture
def row(local_supabase: TwoUsers) -> Callable[..., dict[str, Any]]:
    """A new row of the first user's."""

    def make(**fields: Any) -> dict[str, Any]:
        owner = local_supabase.user_id
        usual = {"id": str(uuid4()), "owner_user_id": owner, "prompt": "a boat", "backend": "b"}
        return usual | {"storage_path": f"{owner}/{uuid4()}.png"} | fields

    return make


def files(client: Client) -> Any:
    return client.storage.from_(BUCKET)


def images(client: Client) -> Any:
    return client.schema("imagen").from_("images")


def refused(call: Callable[[], Any]) -> str:
    """The code by which Storage refuses."""
    with pytest.raises(StorageApiError) as caught:
        call()
    return str(caught.value.status)


def code_of(call: Callable[[], Any]) -> str | None:
    """The code by which the table refuses."""
    with pytest.raises(APIError) as caught:
        call()
    return caught.value.code


def token(local_supabase: TwoUsers, **claims: Any) -> str:
    """A session of the first user's, as the server would sign it."""
    kept = state.load_state(local_supabase.folder)
    assert kept
    usual = {"sub": local_supabase.user_id, "role": "authenticated", "aud": "authenticated"}
    parts = [{"alg": "HS256", "typ": "JWT"}, usual | claims]
    text = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
    signature = hmac.new(kept.jwt_secret.encode(), text.encode(), "sha256").digest()
    return f"{text}.{_encoded(signature)}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize("who", ["service", "owner"])
def test_an_object_comes_back_as_it_went_up(
    who: str, path: str, request: pytest.FixtureRequest
) -> None:
    client: Client = request.getfixturevalue(who)
    options = {**OPTIONS, "metadata": {"sha256": "abc"}, "cache-control": "60"}
    assert files(client).upload(path, PNG, options).path == path
    info = files(client).info(path)
    assert info["size"] == len(PNG)
    assert info["etag"] == f'"{hashlib.md5(PNG).hexdigest()}"'
    assert info["metadata"] == {"sha256": "abc"}
    assert info["content_type"] == "image/png"
    assert info["cache_control"] == "max-age=60"
    assert files(client).download(path) == PNG
    assert files(client).exists(path)


def test_an_owner_and_a_secret_key_remove_and_nobody_else(
    service: Client, owner: Client, stranger: Client, path: str
) -> None:
    files(owner).upload(path, PNG, OPTIONS)
    assert [item["name"] for item in files(owner).remove([path])] == [path]
    assert not files(owner).exists(path)
    files(owner).upload(path, PNG, OPTIONS)
    assert files(stranger).remove([path]) == []
    assert files(owner).exists(path)
    assert [item["name"] for item in files(service).remove([path, "none.png"])] == [path]
    assert not files(owner).exists(path)
    assert refused(lambda: files(owner).info(path)) == "404"


@pytest.mark.parametrize("who", ["service", "owner"])
def test_signed_urls_are_where_supabase_py_looks_for_them(
    who: str, path: str, request: pytest.FixtureRequest
) -> None:
    client: Client = request.getfixturevalue(who)
    files(client).upload(path, PNG, OPTIONS)
    one = files(client).create_signed_url(path, 60)["signedURL"]
    good, bad = files(client).create_signed_urls([path, "none.png"], 60)
    assert good["error"] is None
    assert bad["error"]
    assert bad["signedURL"] is None
    for url in (one, good["signedURL"]):
        answer = httpx.get(url)  # with no key at all
        assert answer.content == PNG
        assert answer.headers["etag"] == f'"{hashlib.md5(PNG).hexdigest()}"'
        assert answer.headers["content-length"] == str(len(PNG))


def test_signed_urls_give_parts_and_tell_that_nothing_changed(service: Client, path: str) -> None:
    files(service).upload(path, PNG, OPTIONS)
    url = files(service).create_signed_url(path, 60)["signedURL"]
    part = httpx.get(url, headers={"range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, PNG[2:6])
    known = httpx.get(url, headers={"if-none-match": httpx.get(url).headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


@pytest.mark.parametrize("who", ["service", "owner"])
def test_what_cannot_be_signed_is_refused(
    who: str, path: str, request: pytest.FixtureRequest
) -> None:
    client: Client = request.getfixturevalue(who)
    files(client).upload(path, PNG, OPTIONS)
    assert refused(lambda: files(client).create_signed_url("none.png", 60)) == "404"
    assert refused(lambda: files(client).create_signed_url(path, 0)) == "400"
    many = [f"{n}.png" for n in range(1001)]
    assert refused(lambda: files(client).create_signed_urls(many, 60)) == "400"
    assert len(files(client).create_signed_urls(many[1:], 60)) == 1000


def test_a_signed_url_ends_in_time_and_cannot_be_changed(service: Client, path: str) -> None:
    files(service).upload(path, PNG, OPTIONS)
    url = files(service).create_signed_url(path, 1)["signedURL"]
    assert httpx.get(url[:-2]).json()["error"] == "InvalidJWT"
    assert httpx.get(url.replace(path, "other.png")).is_error
    time.sleep(2)
    answer = httpx.get(url)
    assert (answer.status_code, answer.json()["statusCode"]) == (400, "400")
    assert '"exp" claim' in answer.json()["message"]


def test_a_signed_upload_url_lets_others_upload(service: Client, path: str) -> None:
    signed = files(service).create_signed_upload_url(path)
    files(service).upload_to_signed_url(path, signed["token"], PNG, OPTIONS)
    assert files(service).download(path) == PNG
    files(service).update(path, PNG[:9], OPTIONS)
    assert files(service).download(path) == PNG[:9]
    assert refused(lambda: files(service).create_signed_upload_url(path)) == "409"


def test_errors_are_http_400_with_the_code_in_the_body(
    local_supabase: TwoUsers, service: Client, path: str
) -> None:
    files(service).upload(path, PNG, OPTIONS)
    url = f"{local_supabase.url}/storage/v1/object/{BUCKET}/{path}"
    answer = httpx.post(
        url,
        headers={"apikey": local_supabase.service_key},
        files={"file": ("a.png", PNG, "image/png")},
    )
    assert answer.status_code == 400
    assert answer.json() == {
        "statusCode": "409",
        "error": "Duplicate",
        "message": "The resource already exists",
    }
    assert refused(lambda: files(service).upload(f"{path}.txt", PNG)) == "415"  # as text/plain
    big = bytes(52428801)
    assert refused(lambda: files(service).upload(f"{path}2", big, OPTIONS)) == "413"
    for name in ("ü.png", "a~b.png", "a{b.png"):
        wrong = f"{local_supabase.user_id}/{name}"
        assert refused(lambda path=wrong: files(service).upload(path, PNG, OPTIONS)) == "400"
    lost = service.storage.from_("no-such-bucket")
    assert refused(lambda: lost.upload("a.png", PNG, OPTIONS)) == "404"
    assert refused(lambda: lost.info("a.png")) == "404"


def test_an_upload_overwrites_only_when_asked_and_never_mixes(service: Client, path: str) -> None:
    files(service).upload(path, PNG, OPTIONS)
    assert refused(lambda: files(service).upload(path, PNG[:9], OPTIONS)) == "409"
    assert files(service).download(path) == PNG
    files(service).upload(path, PNG[:9], OVERWRITE)
    assert files(service).info(path)["size"] == 9
    assert files(service).download(path) == PNG[:9]


def test_an_object_is_moved_and_copied_with_its_bytes(service: Client, path: str) -> None:
    files(service).upload(path, PNG[:9], OPTIONS)
    files(service).move(path, f"{path}-moved.png")
    assert files(service).download(f"{path}-moved.png") == PNG[:9]
    files(service).copy(f"{path}-moved.png", path)
    files(service).remove([f"{path}-moved.png"])
    assert files(service).download(path) == PNG[:9]


def test_of_many_uploads_to_one_path_at_once_one_wins_whole(service: Client, path: str) -> None:
    def upload(number: int) -> bytes | str | int:
        content = PNG + bytes([number]) * 200_000
        try:
            files(service).upload(path, content, OPTIONS)
        except StorageApiError as error:
            return error.status
        return content

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(upload, range(8)))
    assert answers.count("409") == 7
    assert files(service).download(path) in answers


def test_list_shows_one_level(local_supabase: TwoUsers, service: Client) -> None:
    folder = f"{local_supabase.user_id}/{uuid4()}"
    for name in ("b.png", "a.png", "deep/c.png", "deep/d.png", "A_1.png"):
        files(service).upload(f"{folder}/{name}", PNG, OPTIONS)

    def names(under: str, **options: Any) -> list[str]:
        return [item["name"] for item in files(service).list(under, options)]

    assert names(folder) == ["A_1.png", "a.png", "b.png", "deep"]
    assert names(f"{folder}/deep") == ["c.png", "d.png"]
    assert names(folder, limit=2, offset=1) == ["a.png", "b.png"]
    assert names(folder, sortBy={"column": "name", "order": "desc"})[0] == "deep"
    assert names(folder, search="a") == ["A_1.png", "a.png"]
    assert names(folder[:-1]) == []
    by_name = {item["name"]: item for item in files(service).list(folder)}
    assert by_name["deep"]["id"] is None
    assert by_name["a.png"]["metadata"]["size"] == len(PNG)


def test_a_stranger_sees_and_touches_no_object(owner: Client, stranger: Client, path: str) -> None:
    files(owner).upload(path, PNG, OPTIONS)
    files(owner).upload(path, PNG, OVERWRITE)
    theirs = files(stranger)
    assert refused(lambda: theirs.info(path)) == "404"
    assert refused(lambda: theirs.download(path)) == "404"
    assert refused(lambda: theirs.create_signed_url(path, 60)) == "404"
    assert theirs.create_signed_urls([path], 60)[0]["signedURL"] is None
    assert theirs.list(path.rpartition("/")[0]) == []
    assert theirs.remove([path]) == []
    for options in (OPTIONS, OVERWRITE):
        assert refused(lambda options=options: theirs.upload(path, b"x", options)) == "403"
    assert refused(lambda: theirs.upload(f"{path}.png", PNG, OPTIONS)) == "403"
    assert files(owner).download(path) == PNG


def test_a_stranger_sees_and_touches_no_row(
    owner: Client, stranger: Client, row: Callable[..., dict[str, Any]]
) -> None:
    mine = row()
    images(owner).insert(mine).execute()
    assert images(stranger).select("*").eq("id", mine["id"]).execute().data == []
    assert images(stranger).update({"tags": ["x"]}).eq("id", mine["id"]).execute().data == []
    assert code_of(lambda: images(stranger).insert(row()).execute()) == "42501"
    assert images(stranger).delete().eq("id", mine["id"]).execute().data == []
    assert images(owner).select("id").eq("id", mine["id"]).execute().data == [{"id": mine["id"]}]


def test_an_owner_edits_tags_and_deletes_and_nothing_else(
    owner: Client, row: Callable[..., dict[str, Any]]
) -> None:
    mine = row()
    images(owner).insert(mine).execute()
    mine_only = ("id", mine["id"])
    assert images(owner).update({"tags": ["t"]}).eq(*mine_only).execute().data[0]["tags"] == ["t"]
    assert (
        code_of(lambda: images(owner).update({"prompt": "p"}).eq(*mine_only).execute()) == "42501"
    )
    assert code_of(lambda: images(owner).insert(row(storage_path="x.png")).execute()) == "42501"
    assert [row["id"] for row in images(owner).delete().eq(*mine_only).execute().data] == [
        mine["id"]
    ]


def test_without_a_session_the_publishable_key_opens_nothing(
    local_supabase: TwoUsers, connect: Connect, path: str
) -> None:
    anybody = connect(local_supabase.anon_key)
    assert code_of(lambda: images(anybody).select("id").execute()) == "42501"
    assert refused(lambda: files(anybody).upload(path, PNG, OPTIONS)) == "403"
    assert httpx.get(f"{local_supabase.url}/rest/v1/images").status_code == 401  # no key


def test_every_value_comes_back_as_it_was(
    service: Client, row: Callable[..., dict[str, Any]]
) -> None:
    sent = row(
        prompt="ünï \"q\" 'x' \\ {a,b} 2026-05-11 08:00:00+00",
        seed=2**53 - 1,
        steps=4,
        cost_usd_estimate=0.003125,
        tags=["a b", "c,d", 'q"x', "{z}", "\\back", "NULL", "", "ü"],
        sidecar={"a": [1, 2.5, None, {"b": "ü"}], "n": 2**53 - 1, "t": "2026-05-11 08:00:00+00"},
        created_at="2026-05-11T08:00:00.123456+00:00",
    )
    (made,) = images(service).insert(sent).execute().data
    (found,) = images(service).select("*").eq("id", sent["id"]).execute().data
    assert made == found
    assert {name: found[name] for name in sent} == sent
    assert found["prompt_hash"] is None


def test_an_integer_that_javascript_would_round_is_refused(
    service: Client, row: Callable[..., dict[str, Any]]
) -> None:
    for wrong in (row(seed=2**53 + 1), row(sidecar={"deep": [-(2**53) - 1]})):
        assert code_of(lambda wrong=wrong: images(service).insert(wrong).execute()) == "22003"
    images(service).insert(row(prompt=f"{2**53 + 1}", cost_usd_estimate=1.1)).execute()


def test_rows_are_upserted_in_bulk(service: Client, row: Callable[..., dict[str, Any]]) -> None:
    old, new = row(), row()
    table = images(service)
    table.insert(old).execute()
    written = table.upsert([old, new], on_conflict="id", ignore_duplicates=True).execute().data
    assert [item["id"] for item in written] == [new["id"]]
    (changed,) = table.upsert([old | {"prompt": "other"}], on_conflict="id").execute().data
    assert changed["prompt"] == "other"
    assert code_of(lambda: table.insert([row(), old]).execute()) == "23505"
    assert code_of(lambda: table.insert(row(owner_user_id=str(uuid4()))).execute()) == "23503"
    assert code_of(lambda: table.insert({"prompt": "p"}).execute()) == "23502"
    assert code_of(lambda: table.insert(row(no_such=1)).execute()) == "PGRST204"
    assert code_of(lambda: table.insert(row(prompt="a\0b")).execute()) == "22021"
    assert table.insert(row(), returning="minimal").execute().data == []
    sparse = {name: value for name, value in row().items() if name != "storage_path"}
    mixed = [row(tags=["t"]), sparse]
    # Lite gives NULL where PostgREST gives the default: refused, not written.
    assert code_of(lambda: table.insert(mixed, default_to_null=False).execute()) == "PGRST102"


def test_rows_are_found_as_history_asks(
    service: Client, row: Callable[..., dict[str, Any]]
) -> None:
    batch = f"{uuid4()}"
    when = "2026-05-11T08:00:00.123456+00:00"
    ids = sorted(str(uuid4()) for _ in range(5))
    made = [
        row(id=id, backend=batch, prompt=f"A Boat {n}", tags=["x", f"t,{n}"], created_at=when)
        for n, id in enumerate(ids)
    ]
    images(service).insert(made).execute()

    def found(query: Any) -> list[str]:
        ordered = query.eq("backend", batch).order("created_at", desc=True).order("id", desc=True)
        return [item["id"] for item in ordered.execute().data]

    def select(**options: Any) -> Any:
        return images(service).select("id", **options)

    assert found(select().contains("tags", ["x", "t,3"])) == [ids[3]]
    assert found(select().overlaps("tags", ["t,1", "t,2"])) == [ids[2], ids[1]]
    assert found(select().ilike("prompt", "%bOAT 4%")) == [ids[4]]
    assert found(select().in_("id", ids[:2])) == [ids[1], ids[0]]
    after = f"created_at.lt.{when},and(created_at.eq.{when},id.lt.{ids[2]})"
    assert found(select().or_(after)) == [ids[1], ids[0]]
    assert found(select().limit(2)) == [ids[4], ids[3]]
    counted = select(count="exact").eq("backend", batch).limit(1).execute()
    assert (counted.count, len(counted.data)) == (5, 1)
    assert select(count="exact", head=True).eq("backend", batch).execute().count == 5
    assert found(select().gte("created_at", when).lte("created_at", when)) == ids[::-1]


def test_an_answer_holds_1000_rows_at_most(
    service: Client, row: Callable[..., dict[str, Any]]
) -> None:
    batch = f"{uuid4()}"
    for _ in range(3):
        images(service).insert(
            [row(backend=batch) for _ in range(400)], returning="minimal"
        ).execute()
    query = images(service).select("id").eq("backend", batch)
    assert len(query.execute().data) == 1000
    assert len(query.limit(1100).execute().data) == 1000
    images(service).delete().eq("backend", batch).execute()


def test_only_the_exposed_schemas_are_there(service: Client) -> None:
    assert (
        code_of(lambda: service.schema("auth").from_("users").select("*").execute()) == "PGRST106"
    )
    assert code_of(lambda: service.schema("imagen").from_("no").select("*").execute()) == "PGRST205"
    for ask in (lambda table: table.select("*"), lambda table: table.insert({"a": 1})):
        with pytest.raises(APIError, match=r"Could not find the table 'imagen\.no' in the schema"):
            ask(service.schema("imagen").from_("no")).execute()


def test_sessions_are_renewed_and_their_times_are_readable(
    local_supabase: TwoUsers, connect: Connect
) -> None:
    client = connect(local_supabase.anon_key)
    login: Any = {"email": local_supabase.email, "password": local_supabase.password}
    session = client.auth.sign_in_with_password(login).session
    assert session
    assert session.user.id == local_supabase.user_id
    assert session.user.created_at.utcoffset() is not None
    renewed = client.auth.refresh_session(session.refresh_token).session
    assert renewed
    assert renewed.refresh_token != session.refresh_token
    user = client.auth.get_user()
    assert user
    assert user.user.email == local_supabase.email
    with pytest.raises(AuthApiError, match="Invalid login credentials"):
        client.auth.sign_in_with_password(login | {"password": secrets.token_hex()})


def test_an_expired_session_is_told_as_hosted_supabase_tells_it(
    local_supabase: TwoUsers, connect: Connect, path: str
) -> None:
    expired = token(local_supabase, exp=int(time.time()) - 100)
    client = connect(local_supabase.anon_key)
    client.options.headers["Authorization"] = f"Bearer {expired}"
    with pytest.raises(StorageApiError, match='"exp" claim') as caught:
        files(client).upload(path, PNG, OPTIONS)
    assert caught.value.status == "403"
    with pytest.raises(StorageApiError, match="Bucket not found") as caught:
        files(client).info(path)
    assert caught.value.status == "404"
    assert code_of(lambda: images(client).select("id").execute()) == "PGRST303"


def test_a_session_with_a_wrong_signature_opens_nothing(
    local_supabase: TwoUsers, connect: Connect, path: str
) -> None:
    forged = token(local_supabase, exp=int(time.time()) + 100)[:-4] + "AAAA"
    client = connect(local_supabase.anon_key)
    client.options.headers["Authorization"] = f"Bearer {forged}"
    assert refused(lambda: files(client).upload(path, PNG, OPTIONS)) == "403"
    assert code_of(lambda: images(client).select("id").execute()) == "PGRST301"


def test_a_revoked_key_is_refused_everywhere(connect: Connect, path: str) -> None:
    client = connect(f"sb_secret_{secrets.token_urlsafe(24)}")
    assert refused(lambda: files(client).upload(path, PNG, OPTIONS)) == "401"
    assert refused(lambda: files(client).info(path)) == "401"
    with pytest.raises(APIError, match="Invalid API key"):
        images(client).select("id").execute()
    with pytest.raises(AuthApiError, match="Invalid API key"):
        client.auth.sign_in_with_password({"email": "me@localhost.test", "password": "x"})


def test_requests_at_once_do_not_run_in_each_others_transactions(
    local_supabase: TwoUsers,
    service: Client,
    owner: Client,
    stranger: Client,
    row: Callable[..., dict[str, Any]],
) -> None:
    """PGlite has one connection: a refused request must not roll back its neighbour."""
    people = {local_supabase.user_id: owner, local_supabase.other.id: stranger}

    def one(number: int) -> tuple[str, str]:
        (who, client), (other, _) = sorted(people.items(), reverse=bool(number % 2))
        path = f"{who}/{uuid4()}.png"
        files(client).upload(path, PNG, OPTIONS)
        refused(lambda: files(client).upload(f"{other}/{uuid4()}.png", PNG, OPTIONS))
        made = row(owner_user_id=who, storage_path=path)
        images(client).insert(made).execute()
        code_of(lambda: images(client).insert(made).execute())
        return made["id"], path

    with ThreadPoolExecutor(16) as pool:
        done = list(pool.map(one, range(32)))
    ids = [id for id, _ in done]
    rows = images(service).select("id,owner_user_id,storage_path").in_("id", ids).execute().data
    assert {(item["id"], item["storage_path"]) for item in rows} == set(done)
    assert all(item["storage_path"].startswith(item["owner_user_id"]) for item in rows)
    signed = files(service).create_signed_urls([path for _, path in done], 60)
    assert [item["path"] for item in signed if item["error"]] == []


def test_uploads_of_50_mb_work_and_the_memory_comes_back(
    local_supabase: TwoUsers, service: Client, path: str
) -> None:
    kept = state.load_state(local_supabase.folder)
    assert kept
    server = psutil.Process(kept.pid)
    content = secrets.token_bytes(52_428_800)
    taken = []
    for _ in range(5):
        files(service).upload(path, content, OVERWRITE)
        taken.append(server.memory_info().rss)
    assert files(service).info(path)["etag"] == f'"{hashlib.md5(content).hexdigest()}"'
    assert files(service).download(path) == content
    assert taken[-1] - taken[1] < 2 * len(content)  # three more uploads
    files(service).remove([path])
