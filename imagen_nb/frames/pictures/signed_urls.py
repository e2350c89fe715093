"""Signed URLs of pictures: who has one can read it for a while."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from imagen_nb.cloud.account import NOT_CONFIGURED
from imagen_nb.cloud.client import SIGNED_URL_SECONDS, Cloud
from imagen_nb.cloud.errors import ObjectMissingError, RejectedError
from imagen_nb.cloud.picture_cache import CloudPicture
from imagen_nb.errors import CloudError, ImagenError, UsageError
from imagen_nb.frames.pictures.locate import Place
from imagen_nb.frames.pictures.parallel import each
from imagen_nb.frames.schema import require
from imagen_nb.frames.values import text
from imagen_nb.system.terminal import complain

if TYPE_CHECKING:
    import pandas as pd

_BATCH = 1000  # paths that Storage signs in one request
_SIGNERS = 4  # requests at once
_NO_SUCH = "there is no such object, or no right to read it"


def signed_urls(
    frame: pd.DataFrame, expires_in: int, cloud: Cloud | None
) -> pd.Series[str]:
    """A URL for each row; NaN where there is none, and in `attrs["reasons"]` why."""
    import pandas as pd

    require(frame, "storage_path")
    if cloud is None:
        raise UsageError(f"nothing can be signed: {NOT_CONFIGURED}")
    seconds = _seconds(expires_in)
    states = frame["cloud"] if "cloud" in frame.columns else [""] * len(frame)
    pairs = zip(frame["storage_path"], states, strict=True)
    wanted = [
        Place(CloudPicture("", text(path)), state=text(state)) for path, state in pairs
    ]
    asked = (place.wanted.storage_path for place in wanted if not place.nowhere)
    urls, reasons = sign(cloud, asked, seconds)
    found = [None if p.nowhere else urls.get(p.wanted.storage_path) for p in wanted]
    why = [p.nowhere or reasons.get(p.wanted.storage_path) for p in wanted]
    if lacking := [reason for reason in why if reason]:
        complain(
            f"{len(lacking)} of {len(wanted)} pictures have no signed URL: {lacking[0]}"
        )
    series = pd.Series(found, index=frame.index, dtype="str", name="signed_url")
    series.attrs["reasons"] = _by_label(frame.index, why)
    return series


def _seconds(expires_in: int) -> int:
    try:
        seconds = operator.index(expires_in)
    except TypeError:
        seconds = 0
    if seconds < 1:
        raise UsageError(
            f"expires_in is a whole number of seconds, 1 or more, not {expires_in!r}"
        )
    return seconds


def _by_label(index: pd.Index[Any], reasons: Iterable[str | None]) -> dict[Any, str]:
    """Each label's reason; of rows with one label, the first."""
    found: dict[Any, str] = {}
    for label, reason in zip(index, reasons, strict=True):
        if reason is not None:
            found.setdefault(label, reason)
    return found


def sign(
    cloud: Cloud, paths: Iterable[str], expires_in: int = SIGNED_URL_SECONDS
) -> tuple[dict[str, str], dict[str, str]]:
    """The URL of each path that can be signed, and the reason of each other one."""
    once = [*dict.fromkeys(paths)]
    batches = [once[start : start + _BATCH] for start in range(0, len(once), _BATCH)]
    signed = each(
        batches, lambda batch: _signed(cloud, batch, expires_in), threads=_SIGNERS
    )
    answers: dict[str, str | ImagenError] = {}
    for batch in signed:
        if isinstance(batch, ImagenError):
            raise batch
        answers |= batch
    urls = {path: answer for path, answer in answers.items() if isinstance(answer, str)}
    return urls, {
        path: str(answer) for path, answer in answers.items() if path not in urls
    }


def _signed(
    cloud: Cloud, paths: Sequence[str], expires_in: int
) -> dict[str, str | ImagenError]:
    """By path; one that the server refuses to hear of does not take the others with it."""
    try:
        found = cloud.signed_urls(paths, expires_in)
        return {
            path: url or ObjectMissingError(_NO_SUCH) for path, url in found.items()
        }
    except RejectedError as error:
        if len(paths) == 1:
            return {paths[0]: error}
    except CloudError as error:
        return dict.fromkeys(paths, error)
    half = len(paths) // 2
    return _signed(cloud, paths[:half], expires_in) | _signed(
        cloud, paths[half:], expires_in
    )
