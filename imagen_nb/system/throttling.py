"""What a busy server answers, before anybody reads its body: 429 and 5xx, and how long to wait."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import httpx


class Busy(httpx.TransportError):
    """Raised by `refuse_busy`, through whichever library sent the request."""

    def __init__(self, status: int, retry_after: float | None) -> None:
        super().__init__(f"HTTP {status}")
        self.status, self.retry_after = status, retry_after


def refuse_busy(response: httpx.Response) -> None:
    """An httpx response hook: 429 and 5xx are errors that pass, whatever their body says."""
    if response.status_code == 429 or response.status_code >= 500:
        raise Busy(response.status_code, seconds_asked(response))


def seconds_asked(response: httpx.Response) -> float | None:
    """Retry-After (RFC 9110 §10.2.3): seconds, or a date, counted from the answer's own Date."""
    said = response.headers.get("retry-after", "")
    if said.isdigit():
        return float(said)
    try:
        now = parsedate_to_datetime(response.headers.get("date", ""))
        return max(0.0, (parsedate_to_datetime(said) - now).total_seconds())
    except (TypeError, ValueError):
        return None
