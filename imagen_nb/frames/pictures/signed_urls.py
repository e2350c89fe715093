"""Signed URLs of pictures: who has one can read the picture for a while."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from imagen_nb.cloud.account import NOT_CONFIGURED
from imagen_nb.cloud.client import SIGNED_URL_SECONDS, Cloud
from imagen_nb.cloud.errors import ObjectMissingError, RejectedError
from imagen_nb.cloud.picture_cache import CloudPicture
from imagen_nb.errors import CloudError, ImagenError, UsageError
from imagen_nb.frames.pictures.locate import PictureLocation
from imagen_nb.frames.pictures.parallel import map_in_threads
from imagen_nb.frames.schema import require_columns, text_or_empty
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import pandas as pd

_PATHS_PER_BATCH = 1000  # that Storage signs in one request
_SIGNING_THREADS = 4  # requests at once
_NO_OBJECT = "there is no such object, or no right to read it"


def sign_frame(
    frame: pd.DataFrame, expires_in: int, cloud: Cloud | None
) -> pd.Series[str]:
    """Return a URL for each row, as `Accessor.signed_urls` documents.

    NaN where there is none; `attrs["reasons"]` says why, by index label.

    Args:
        frame: needs the column `storage_path`.
        expires_in: seconds for which the URLs are valid.
        cloud: the client; None if none is configured.

    Raises:
        UsageError: if a column lacks, `expires_in` is not 1 or more, or there is no
            cloud.
    """
    import pandas as pd

    require_columns(frame, "storage_path")
    if cloud is None:
        raise UsageError(f"nothing can be signed: {NOT_CONFIGURED}")
    seconds = _validated_expiry(expires_in)
    locations = _cloud_locations(frame)
    paths = [one.picture.storage_path for one in locations if not one.not_in_cloud]
    urls, reasons = sign_paths(cloud, paths, seconds)
    signed: list[str | None] = []
    unsigned: list[str | None] = []
    for location in locations:
        path, absent = location.picture.storage_path, location.not_in_cloud
        signed.append(None if absent else urls.get(path))
        unsigned.append(absent or reasons.get(path))
    failed = [reason for reason in unsigned if reason]
    if failed:
        print_notice(
            f"{len(failed)} of {len(locations)} pictures have no signed URL: "
            f"{failed[0]}"
        )
    series = pd.Series(signed, index=frame.index, dtype="str", name="signed_url")
    series.attrs["reasons"] = _reasons_by_label(frame.index, unsigned)
    return series


def _cloud_locations(frame: pd.DataFrame) -> list[PictureLocation]:
    """Return where the pictures are in the cloud, without a look at this machine."""
    states = frame["cloud"] if "cloud" in frame.columns else [""] * len(frame)
    return [
        PictureLocation(
            CloudPicture("", text_or_empty(path)), state=text_or_empty(state)
        )
        for path, state in zip(frame["storage_path"], states, strict=True)
    ]


def _validated_expiry(expires_in: int) -> int:
    try:
        seconds = operator.index(expires_in)
    except TypeError:
        seconds = 0
    if seconds < 1:
        raise UsageError(
            f"expires_in is a whole number of seconds, 1 or more, not {expires_in!r}"
        )
    return seconds


def _reasons_by_label(
    index: pd.Index[Any], reasons: Iterable[str | None]
) -> dict[Any, str]:
    """Return the reasons by label; of several rows with one label, the first."""
    by_label: dict[Any, str] = {}
    for label, reason in zip(index, reasons, strict=True):
        if reason is not None:
            by_label.setdefault(label, reason)
    return by_label


def sign_paths(
    cloud: Cloud, paths: Iterable[str], expires_in: int = SIGNED_URL_SECONDS
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the URLs of the paths that can be signed, and the reasons of the others.

    Args:
        cloud: the client.
        paths: of objects in the bucket.
        expires_in: seconds for which the URLs are valid.
    """
    distinct = [*dict.fromkeys(paths)]
    batches = [
        distinct[start : start + _PATHS_PER_BATCH]
        for start in range(0, len(distinct), _PATHS_PER_BATCH)
    ]
    signed = map_in_threads(
        batches,
        lambda batch: _sign_batch(cloud, batch, expires_in),
        threads=_SIGNING_THREADS,
    )
    urls: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for answers in signed:
        if isinstance(answers, ImagenError):
            raise answers
        for path, answer in answers.items():
            if isinstance(answer, ImagenError):
                reasons[path] = str(answer)
            else:
                urls[path] = answer
    return urls, reasons


def _sign_batch(
    cloud: Cloud, paths: Sequence[str], expires_in: int
) -> dict[str, str | ImagenError]:
    """Return a URL or an error by path.

    A batch that the server rejects is halved, until only the paths that it rejects are
    without a URL.
    """
    try:
        urls = cloud.signed_urls(paths, expires_in)
        return {
            path: url or ObjectMissingError(_NO_OBJECT) for path, url in urls.items()
        }
    except RejectedError as error:
        if len(paths) == 1:
            return {paths[0]: error}
    except CloudError as error:
        return dict.fromkeys(paths, error)
    half = len(paths) // 2
    first = _sign_batch(cloud, paths[:half], expires_in)
    return first | _sign_batch(cloud, paths[half:], expires_in)
