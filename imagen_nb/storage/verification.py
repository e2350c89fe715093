"""Checks a picture's file: content credentials, record, sidecar, hash and watermark."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imagen_nb.errors import StorageError, UsageError
from imagen_nb.storage.credentials_reading import (
    Credentials,
    read_credentials,
)
from imagen_nb.storage.media_types import media_type_of
from imagen_nb.storage.names import sidecar_of
from imagen_nb.storage.output import read_sidecar
from imagen_nb.storage.picture import describe_record
from imagen_nb.storage.png import (
    MAX_FILE_BYTES,
    NoRecordError,
    has_credentials,
    read_png,
)
from imagen_nb.storage.record import SIGNED, Record
from imagen_nb.storage.watermark import WATERMARK, has_watermark_in
from imagen_nb.system.paths import absolute_path

Verdict = Literal["good", "not there", "not checked", "changed"]


@dataclass(frozen=True, slots=True)
class VerifiedPart:
    """One thing about a file: `what`, whether it holds, and a few words on it."""

    what: str
    verdict: Verdict
    detail: str = ""

    def __str__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.what}: {self.verdict}{detail}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What is found out about one file.

    `credentials`: what its content credentials state; None if it has none, or they were
    not read.
    """

    path: Path
    checks: tuple[VerifiedPart, ...]
    credentials: Credentials | None = None

    @property
    def holds(self) -> bool:
        """Whether nothing contradicts: what is not there does not."""
        return all(check.verdict != "changed" for check in self.checks)


def verify_picture(path: Path | str, authorities: str = "") -> Verification:
    """Check a picture, named by its file or its sidecar. It may be anybody's.

    `authorities`: who may vouch for a signer, see `load_authorities`. Raises
    `StorageError` if the file cannot be read.

    Example:
        >>> [str(check) for check in verify_picture("2026-05-11-a-boat-11.png").checks]
        ['content credentials: not there', 'record: good: …', 'sidecar: good', 'sha256: good',
         'watermark: not there']
    """
    path = absolute_path(path)
    if path.suffix == ".json":
        path = path.with_suffix("")
    data = _read_file(path)
    record, in_picture = _check_record(path, data)
    kept, in_sidecar = _check_sidecar(path, record)
    credentials, statement = _check_credentials(data, kept, authorities)
    checks = (
        statement,
        in_picture,
        in_sidecar,
        _check_hash(data, kept),
        _check_watermark(data),
    )
    return Verification(path, checks, credentials)


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise StorageError(f"cannot read {path}: it is larger than any picture of ours")
    if media_type_of(data) is None:
        raise StorageError(f"cannot read {path}: it is no PNG, JPEG or WebP")
    return data


def _check_credentials(
    data: bytes, kept: Record | None, authorities: str
) -> tuple[Credentials | None, VerifiedPart]:
    what = "content credentials"
    try:
        credentials = read_credentials(data, authorities)
    except UsageError as error:  # without c2pa-python
        if media_type_of(data) != "image/png" or has_credentials(data):
            return None, VerifiedPart(what, "not checked", str(error))
        credentials = None
    except StorageError as error:
        return None, VerifiedPart(what, "changed", str(error))
    if credentials is None:
        if kept and kept.content_credentials == SIGNED:
            return None, VerifiedPart(
                what, "changed", "the sidecar says that it was signed"
            )
        return None, VerifiedPart(what, "not there")
    if credentials.problems:
        reason = f"{', '.join(credentials.problems)}; it says: {credentials}"
        return credentials, VerifiedPart(what, "changed", reason)
    return credentials, VerifiedPart(what, "good", str(credentials))


def _check_record(path: Path, data: bytes) -> tuple[Record | None, VerifiedPart]:
    what = "record"
    if media_type_of(data) != "image/png":
        return None, VerifiedPart(what, "not there")
    try:
        record = Record.from_sidecar(read_png(path)[1])
    except NoRecordError:
        return None, VerifiedPart(what, "not there")
    except StorageError as error:
        return None, VerifiedPart(what, "changed", str(error))
    return record, VerifiedPart(what, "good", describe_record(record))


def _check_sidecar(
    path: Path, record: Record | None
) -> tuple[Record | None, VerifiedPart]:
    """Compare what decides the pixels: tags may be others, and in the cloud the id."""
    what = "sidecar"
    try:
        kept = Record.from_sidecar(read_sidecar(sidecar_of(path)))
    except FileNotFoundError:
        return None, VerifiedPart(what, "not there")
    except (OSError, UnicodeDecodeError, StorageError) as error:
        reason = getattr(error, "strerror", None) or "it is torn, or no sidecar"
        return None, VerifiedPart(what, "changed", reason)
    if (
        record
        and kept.model_copy(update={"id": record.id}).decides() != record.decides()
    ):
        return kept, VerifiedPart(
            what, "changed", "it is not of the picture that the PNG records"
        )
    return kept, VerifiedPart(what, "good")


def _check_hash(data: bytes, kept: Record | None) -> VerifiedPart:
    what = "sha256"
    if kept is None or kept.sha256 is None:
        return VerifiedPart(what, "not there")
    if hashlib.sha256(data).hexdigest() != kept.sha256:
        return VerifiedPart(what, "changed", "it is not the file that was saved")
    return VerifiedPart(what, "good")


def _check_watermark(data: bytes) -> VerifiedPart:
    """Look for it in the pixels, whatever a record says: that it is gone changes no file."""
    what = "watermark"
    try:
        found = has_watermark_in(data)
    except (UsageError, StorageError) as error:
        return VerifiedPart(what, "not checked", str(error))
    if found is None:
        return VerifiedPart(what, "not checked", "the picture is too large")
    if not found:
        return VerifiedPart(what, "not there")
    return VerifiedPart(what, "good", f"imagen_nb, {WATERMARK}")
