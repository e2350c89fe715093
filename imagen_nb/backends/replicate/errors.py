"""What Replicate's answers mean: wait and ask again, or one line for the user.

The messages quote what the server says, without the token if it should say that.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx

from imagen_nb.errors import BackendError
from imagen_nb.request.request import quoted
from imagen_nb.system.secret_text import scrubbed
from imagen_nb.system.throttling import Busy, refuse_busy

if TYPE_CHECKING:
    from pydantic import SecretStr
    from replicate.prediction import Prediction

    from imagen_nb.request.request import Request

TOKENS_URL = "https://replicate.com/account/api-tokens"
NO_TOKEN = f"no Replicate token: set REPLICATE_API_TOKEN, or replicate.api_token (from {TOKENS_URL})"
NO_LIBRARY = (
    'hosted FLUX needs the replicate library: pip install "imagen_nb[replicate]"'
)
_MAX_REPLY_CHARS = 200  # letters of what a server says
_RESET_SECONDS = re.compile(r"resets in ~?(\d+)\s?s")
_REMEDY_OF_STATUS = {  # by HTTP status
    401: f"it refuses the token: check REPLICATE_API_TOKEN or replicate.api_token ({TOKENS_URL})",
    402: "the account is out of credit: buy some at https://replicate.com/account/billing",
    403: "the token may not run this model: see https://replicate.com/account",
    404: "there is no such model or file (any more)",
    422: "it does not take these inputs: has the model changed? Try a newer imagen_nb",
}


class TransientError(BackendError):  # noqa: N818 - it says how, not what
    """It may work later. `retry_after`: seconds that the server asked for."""

    def __init__(
        self, message: str, status: int = 0, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


def refuse_throttled(response: httpx.Response) -> None:
    """`refuse_busy`, but that Replicate says in the body how long to wait, if nowhere else."""
    try:
        refuse_busy(response)
    except Busy as busy:
        if busy.retry_after is None:
            response.read()
            told = _RESET_SECONDS.search(response.text)
            busy.retry_after = float(told[1]) if told else None
        response.close()
        raise


def backend_error_of(error: Exception, token: SecretStr) -> BackendError:
    """What an error of the replicate library, of httpx or of their parsers means."""
    from replicate.exceptions import ReplicateError

    if isinstance(error, BackendError):
        return error
    if isinstance(error, Busy):
        return _throttling_error(error.status, error.retry_after)
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return BackendError("no address of Replicate's: check REPLICATE_BASE_URL")
    if isinstance(error, httpx.HTTPError):
        said = describe_reply(error, token) or type(error).__name__
        return TransientError(
            f"Replicate cannot be reached ({said}): check the network, try again later"
        )
    if isinstance(error, ReplicateError):
        return error_of_status(error.status or 0, error.detail or error.title, token)
    return BackendError(
        "the answer is not Replicate's: check the network and REPLICATE_BASE_URL"
    )


def error_of_status(status: int, said: Any, token: SecretStr) -> BackendError:
    """What an HTTP status of 400 and more means, and what the server says with it."""
    if status == 429 or status >= 500:
        return _throttling_error(status, None)
    remedy = _REMEDY_OF_STATUS.get(status, "it does not take this request")
    told = f"; it says: {describe_reply(said, token)}" if said else ""
    return BackendError(f"Replicate answers HTTP {status}, {remedy}{told}")


def _throttling_error(status: int, seconds: float | None) -> TransientError:
    what = "is asked too often" if status == 429 else "is in trouble"
    until = f"in {seconds:g} s" if seconds else "later"
    return TransientError(
        f"Replicate {what} (HTTP {status}): try again {until}", status, seconds
    )


def error_of_prediction(
    prediction: Prediction, request: Request, token: SecretStr
) -> BackendError:
    """Why a prediction that has ended gave no picture."""
    said = describe_reply(prediction.error or "no reason given", token)
    if "nsfw" in said.lower() or "safety" in said.lower():
        return BackendError(
            f"Replicate's safety checker refuses {quoted(request)}: try another prompt or seed"
            f" (it says: {said})"
        )
    if prediction.status == "canceled":
        return BackendError(
            f"{quoted(request)} was cancelled at Replicate: draw it again"
        )
    return BackendError(f"Replicate could not draw {quoted(request)}: {said}")


def describe_reply(said: Any, token: SecretStr) -> str:
    """The first of what a server says, on one line, printable, without the token."""
    line = " ".join(scrubbed(said, [token]).split())[:_MAX_REPLY_CHARS]
    return "".join(letter if letter.isprintable() else "?" for letter in line)
