"""When a server says to come back: RFC 9110, section 10.2.3."""

from __future__ import annotations

import email.utils
import math
from datetime import UTC
from typing import Any


def retry_after(error: BaseException, now: float) -> float | None:
    """Seconds to wait, by the `Retry-After` of the error's response, or its own `retry_after`; else None.

    The header is read off ``error.response.headers``, which httpx, requests and the clients of OpenAI
    and Anthropic have, in seconds or as a date; `retry-after-ms` before it. `now` is unix seconds.

    >>> class Response: headers = {"retry-after": "7"}
    >>> error = ConnectionError(); error.response = Response()
    >>> retry_after(error, now=0)
    7.0
    """
    headers = _had(_had(error, "response"), "headers")
    if headers is not None:
        milliseconds = _seconds(_get(headers, "retry-after-ms"))
        if milliseconds is not None:
            return milliseconds / 1000
        value = _get(headers, "retry-after")
        if value is not None:
            return _seconds(value) if _seconds(value) is not None else _until(str(value), now)
    return _seconds(_had(error, "retry_after"))


def _had(thing: Any, name: str) -> Any:
    try:
        return getattr(thing, name, None)
    except Exception:  # a property, which some have that raises where there is nothing
        return None


def _get(headers: Any, name: str) -> Any:
    try:
        value = headers.get(name)
        return value if value is not None else headers.get("-".join(p.capitalize() for p in name.split("-")))
    except Exception:  # headers of any shape: what cannot be read says nothing
        return None


def _seconds(value: Any) -> float | None:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _until(date: str, now: float) -> float | None:
    try:
        moment = email.utils.parsedate_to_datetime(date)
        if moment.tzinfo is None:  # as in the old form that RFC 9110 keeps, which has no zone: it is GMT
            moment = moment.replace(tzinfo=UTC)
        return max(moment.timestamp() - now, 0.0)
    except (TypeError, ValueError, OverflowError):
        return None
