"""Requests about one object in the bucket: its upload, within a time limit, and facts."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from typing import Any

import httpx

from imagen_nb.cloud.account import Session
from imagen_nb.cloud.errors import (
    BUCKET,
    ObjectExistsError,
    RejectedError,
    TooSlowError,
    decoding,
)
from imagen_nb.storage.media_types import media_type_of_name

_BASE_S = 30.0  # for an upload, besides what its size takes
_SLOWEST_BYTES_PER_S = 50_000
_UNCOMPRESSED = {"accept-encoding": "identity"}  # a small answer may unpack to a large


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What Storage knows of an object. `md5` (hexadecimal) where its etag is one."""

    size: int  # bytes
    md5: str | None


def load_object_info(session: Session, path: str) -> StoredObject:
    """Return what is at the path. Raises what supabase raises if nothing is."""
    info = session.storage.from_(BUCKET).info(path)
    with decoding():
        size, etag = int(info["size"]), str(info.get("etag") or "").strip('"')
    is_md5 = len(etag) == 32 and set(etag) <= set("0123456789abcdef")
    return StoredObject(size, etag if is_md5 else None)


def load_object(session: Session, path: str) -> bytes:
    """Return the object at the path: 50 MB at most, which is what the bucket takes.

    One request, where a signed URL that is asked for and then read is two.
    """
    return session.storage.from_(BUCKET).download(path)


def read_url(http: httpx.Client, url: str, max_bytes: int | None) -> bytes:
    """Return what is at a signed URL.

    Raise RejectedError if it is more than `max_bytes`.
    """
    with http.stream("GET", url, headers=_UNCOMPRESSED) as answer:
        if answer.is_error:
            raise RejectedError(f"the signed URL answers HTTP {answer.status_code}")
        data = bytearray()
        for part in answer.iter_raw():
            data += part
            if max_bytes is not None and len(data) > max_bytes:
                raise RejectedError(
                    f"the object is larger than it should be ({max_bytes} bytes)"
                )
        return bytes(data)


def remove_objects(session: Session, paths: list[str]) -> None:
    """Remove objects. Storage says nothing of those that this user may not remove."""
    session.storage.from_(BUCKET).remove(paths)


def load_signed_urls(
    session: Session, paths: list[str], expires_in: int
) -> dict[str, str | None]:
    """Return a signed URL for each path; None where there is nothing to read."""
    items = session.storage.from_(BUCKET).create_signed_urls(paths, expires_in)
    with decoding():
        return {
            str(item["path"]): None if item["error"] else str(item["signedURL"])
            for item in items
        }


class Upload:
    """One upload, which may be tried several times.

    Invariant: after a try that failed, it asks first whether the object is there. An
    upload that must be refused may take down the connection, as Storage before
    September 2026 then reads no more of it.
    """

    def __init__(self, path: str, png: bytes, *, replace: bool = False) -> None:
        """`replace`: give an object that is there these bytes."""
        self._path, self._png, self._replace = path, png, replace
        self._tried = False

    def send(self, session: Session) -> None:
        """Try it.

        Raise ObjectExistsError if an earlier try made the object, TooSlowError if this
        one takes longer than its size allows; otherwise whatever supabase raises.
        """
        if self._tried and not self._replace:
            self._require_missing(session)
        self._tried = True
        # supabase-py would say text/plain, which the bucket refuses.
        upsert = str(self._replace).lower()
        kind = media_type_of_name(self._path)
        options: Any = {"content-type": kind, "upsert": upsert}
        limit = _BASE_S + len(self._png) / _SLOWEST_BYTES_PER_S
        bucket = session.storage.from_(BUCKET)
        try:
            bucket.upload(self._path, _TimedBody(self._png, limit), options)
        except (httpx.WriteTimeout, httpx.ReadTimeout):
            raise TooSlowError(
                f"{self._path} ({len(self._png)} bytes) takes too long to go up"
            ) from None

    def _require_missing(self, session: Session) -> None:
        from storage3.exceptions import StorageApiError

        try:
            load_object_info(session, self._path)
        except StorageApiError as error:
            if str(error.status) == "404":
                return
            raise
        raise ObjectExistsError(f"{self._path} is there")


class _TimedBody(io.BufferedReader):
    """A file in memory that raises httpx.WriteTimeout if it is not read in time."""

    def __init__(self, data: bytes, seconds: float) -> None:
        super().__init__(io.BytesIO(data))
        self._until = time.monotonic() + seconds

    def read(self, size: int | None = -1, /) -> bytes:
        if time.monotonic() > self._until:
            raise httpx.WriteTimeout("the time for this upload is over")
        return super().read(size)
