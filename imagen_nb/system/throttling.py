"""A busy server's answers, before their body is read: 429 and 5xx, and how long to wait."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import httpx


class ServerBusyError(httpx.TransportError):
    """A server answered 429 or 5xx. Raised through whichever library sent the request."""

    def __init__(self, status: int, retry_after: float | None) -> None:
        super().__init__(f"HTTP {status}")
        self.status, self.retry_after = status, retry_after


def raise_if_busy(response: httpx.Response) -> None:
    """Raise `ServerBusyError` for 429 and 5xx, whatever their body; an httpx hook."""
    if response.status_code == 429 or response.status_code >= 500:
        raise ServerBusyError(response.status_code, retry_after_seconds(response))


def retry_after_seconds(response: httpx.Response) -> float | None:
    """Return the seconds of Retry-After (RFC 9110 §10.2.3), or None without one.

    A date is counted from the answer's own Date.
    """
    delay = response.headers.get("retry-after", "")
    if delay.isdigit():
        return float(delay)
    try:
        now = parsedate_to_datetime(response.headers.get("date", ""))
        return max(0.0, (parsedate_to_datetime(delay) - now).total_seconds())
    except (TypeError, ValueError):
        return None
