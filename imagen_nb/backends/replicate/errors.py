"""What Replicate's replies mean: a transient error, or one line for the user.

Messages quote what the server says, never the token.
"""

from __future__ import annotations

import re
from traceback import TracebackException
from typing import TYPE_CHECKING, Any

import httpx

from imagen_nb.errors import BackendError
from imagen_nb.request.request import describe_request
from imagen_nb.system.secret_text import scrub_secrets
from imagen_nb.system.throttling import ServerBusyError, raise_if_busy

if TYPE_CHECKING:
    from pydantic import SecretStr
    from replicate.prediction import Prediction

    from imagen_nb.request.request import Request

TOKENS_URL = "https://replicate.com/account/api-tokens"
NO_TOKEN = (
    "no Replicate token: set REPLICATE_API_TOKEN, or replicate.api_token "
    f"(from {TOKENS_URL})"
)
STRANGE_TOKEN = (
    f"the Replicate token has letters that none has: copy it from {TOKENS_URL}"
)
NO_LIBRARY = (
    'hosted FLUX needs the replicate library: pip install "imagen_nb[replicate]"'
)
_ADDRESS_ERRORS = (
    *(httpx.UnsupportedProtocol, httpx.InvalidURL),
    *(UnicodeError, OverflowError),  # of the socket module, for hosts and ports
)
_NO_ADDRESS = "no address of Replicate's: check REPLICATE_BASE_URL"
_STRANGE_REPLY = (
    "the answer is not Replicate's: check the network and REPLICATE_BASE_URL"
)
_MAX_REPLY_CHARS = 200
_RESET_SECONDS = re.compile(r"resets in ~?(\d+)\s?s")
_REMEDY_OF_STATUS = {
    401: (
        "it refuses the token: check REPLICATE_API_TOKEN or replicate.api_token "
        f"({TOKENS_URL})"
    ),
    402: (
        "the account is out of credit: buy some at "
        "https://replicate.com/account/billing"
    ),
    403: "the token may not run this model: see https://replicate.com/account",
    404: "there is no such model or file (any more)",
    422: (
        "it does not take these inputs: has the model changed? Try a newer imagen_nb"
    ),
}


class TransientError(BackendError):
    """A failure that may not come again.

    `status` is the HTTP status, or 0; `retry_after` the seconds that the server asked
    the client to wait, if it did.
    """

    def __init__(
        self, message: str, status: int = 0, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


def refuse_throttled(response: httpx.Response) -> None:
    """Raise `ServerBusyError` for HTTP 429 and 5xx: a response hook of httpx.

    Unlike `raise_if_busy`, it also looks for the time to wait in the body, where
    Replicate writes it when there is no Retry-After header.
    """
    try:
        raise_if_busy(response)
    except ServerBusyError as busy:
        if busy.retry_after is None:
            response.read()
            reset = _RESET_SECONDS.search(response.text)
            busy.retry_after = float(reset[1]) if reset else None
        response.close()
        raise


def require_prediction(response: httpx.Response) -> None:
    """Raise `BackendError` for a body that is none of Replicate's: a response hook.

    The library parses the body in the same way, but with everything else in between:
    around all that, an error of this package's own code would pass for a bad answer.
    """
    from replicate.exceptions import ReplicateError
    from replicate.prediction import Prediction

    response.read()
    try:
        if response.is_error:
            ReplicateError.from_response(response)
        else:
            prediction = Prediction(**response.json())
            f"{prediction.id} {prediction.version}".encode()  # for URLs and records
    except (AttributeError, RecursionError, TypeError, ValueError):
        raise BackendError(_STRANGE_REPLY) from None


def errors_of_libraries() -> tuple[type[Exception], ...]:
    """Return the errors that httpx and the replicate library raise for a request."""
    from replicate.exceptions import ReplicateException

    return (httpx.HTTPError, ReplicateException, *_ADDRESS_ERRORS)


def backend_error_of(error: Exception, token: SecretStr) -> BackendError:
    """Return what one of `errors_of_libraries` means.

    A `TransientError` if it is worth another attempt.
    """
    from replicate.exceptions import ReplicateError

    if isinstance(error, ServerBusyError):
        return _throttling_error(error.status, error.retry_after)
    if isinstance(error, _ADDRESS_ERRORS):
        return BackendError(_NO_ADDRESS)
    if isinstance(error, httpx.HTTPError):
        reason = describe_reply(error, token) or type(error).__name__
        return TransientError(
            f"Replicate cannot be reached ({reason}): check the network, "
            "try again later"
        )
    if isinstance(error, ReplicateError):
        return error_of_status(error.status or 0, error.detail or error.title, token)
    return BackendError(_STRANGE_REPLY)


def quotes_token(error: Exception, token: SecretStr) -> bool:
    """Whether the token is in what Python prints of an error and its causes."""
    text = "".join(TracebackException.from_exception(error).format())
    return scrub_secrets(text, [token]) != text


def error_of_client(error: Exception, token: SecretStr) -> BackendError:
    """Return an error that is none of `errors_of_libraries`, without the token."""
    reason = f"{type(error).__name__}: {describe_reply(error, token)}"
    return BackendError(
        f"Replicate's client failed ({reason}): check the token ({TOKENS_URL})"
    )


def error_of_status(status: int, reply: Any, token: SecretStr) -> BackendError:
    """Return what an HTTP status of 400 or more means.

    `reply`: what the server says with it, if anything; the message quotes it.
    """
    if status == 429 or status >= 500:
        return _throttling_error(status, None)
    remedy = _REMEDY_OF_STATUS.get(status, "it does not take this request")
    quotation = f"; it says: {describe_reply(reply, token)}" if reply else ""
    return BackendError(f"Replicate answers HTTP {status}, {remedy}{quotation}")


def _throttling_error(status: int, seconds: float | None) -> TransientError:
    trouble = "is asked too often" if status == 429 else "is in trouble"
    when = f"in {seconds:g} s" if seconds else "later"
    return TransientError(
        f"Replicate {trouble} (HTTP {status}): try again {when}", status, seconds
    )


def error_of_prediction(
    prediction: Prediction, request: Request, token: SecretStr
) -> BackendError:
    """Return why a prediction that has ended gave no picture."""
    reason = describe_reply(prediction.error or "no reason given", token)
    if "nsfw" in reason.lower() or "safety" in reason.lower():
        return BackendError(
            f"Replicate's safety checker refuses {describe_request(request)}: "
            f"try another prompt or seed (it says: {reason})"
        )
    if prediction.status == "canceled":
        return BackendError(
            f"{describe_request(request)} was cancelled at Replicate: draw it again"
        )
    return BackendError(
        f"Replicate could not draw {describe_request(request)}: {reason}"
    )


def describe_reply(reply: Any, token: SecretStr) -> str:
    """Return the start of what a server says: one printable line without the token."""
    line = " ".join(scrub_secrets(reply, [token]).split())[:_MAX_REPLY_CHARS]
    return "".join(letter if letter.isprintable() else "?" for letter in line)
