"""One request on its way: whose it is, what it may do and take, and how its failures are told."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from dalsegno.errors import (
    AddressRefused,
    RemoteAnswerInvalid,
    RemoteError,
    RemoteStatus,
    RemoteTimeout,
    RemoteUnreachable,
)
from dalsegno.nodes.policies.retry_after import retry_after
from dalsegno.nodes.remote.addresses import Guard
from dalsegno.nodes.secrets import spellings, without_pieces

if TYPE_CHECKING:
    import httpx

EXCERPT = 200
"""Characters of an answer that an error shows."""


@dataclass(frozen=True, slots=True)
class Access:
    """What an agent may be and take: where it may live, `timeout` in seconds for all of an answer, its most bytes,
    a file of certificates that are trusted instead of the usual ones."""

    guard: Guard = field(default_factory=Guard)
    timeout: float = 60.0
    max_bytes: int = 4 * 2**20
    ca: str | None = None


@dataclass(slots=True, eq=False)
class Asked:
    """A call that is going on. `private` headers go to `origin` only, `headers` with every request; `hidden` is what
    may be a credential in its address; `what` says in messages whose name `agent` is."""

    agent: str
    node: str
    access: Access
    origin: tuple[str, str, int] = ("", "", 0)
    private: dict[str, str] = field(default_factory=dict, repr=False)
    hidden: tuple[str, ...] = field(default=(), repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    received: int = 0
    name: str = ""
    what: str = "The remote agent"

    def fail(self, kind: type[RemoteError], message: str, **data: Any) -> RemoteError:
        """An error of this call."""
        return kind(f"{self.what} {self.agent} {message}", agent=self.agent, node=self.node, **data)

    def refused(self, host: str, address: str, what: str) -> RemoteError:
        """Its address is not allowed."""
        place = host if host == address else f"{host} ({address})"
        allow = f'allow_private=["{address if what == "metadata" else host}"]'
        if what == "metadata":
            message = f"is at {place}, where a cloud keeps its credentials: refused. If it is meant, {allow}."
        elif what in ("multicast", "reserved"):
            message = f"is at {place}, a {what} address: refused. If it is meant, {allow}."
        else:
            message = (
                f"is at {place}, a {what} address: refused, so that nobody can lead a workflow to what is inside. If "
                f"it is meant, {allow}, or allow_private=True."
            )
        return self.fail(AddressRefused, message, host=host, address=address)

    def unreachable(self, reason: str, message: str) -> RemoteError:
        """There is no connection, or none any more."""
        data = {"retryable": False} if reason == "certificate" else {}
        return self.fail(RemoteUnreachable, message, reason=reason, **data)

    def too_slow(self) -> RemoteError:
        """Its time is over."""
        seconds = self.access.timeout
        came = f"{self.received:,} bytes had come, and no end" if self.received else "nothing had come"
        return self.fail(
            RemoteTimeout,
            f"took longer than {seconds:g} seconds: {came}. Give it more time (`timeout=`), or retry it.",
            seconds=seconds,
            received=self.received,
        )

    def too_large(self) -> RemoteError:
        """It says more than it may."""
        return self.fail(
            RemoteAnswerInvalid,
            f"answered with more than {self.access.max_bytes:,} bytes, and was cut off. Ask it for less, or give it "
            "more room (`max_bytes=`).",
            reason="too large",
            excerpt="",
        )

    def invalid(self, reason: str, problem: str, body: bytes | str = b"") -> RemoteError:
        """What came is no answer."""
        excerpt = self.excerpt(body)
        begins = f" It begins: {excerpt}" if excerpt else ""
        stop = "" if problem.endswith("?") else "."
        return self.fail(
            RemoteAnswerInvalid,
            f"{problem}{stop}{begins if not problem.endswith(excerpt) or not excerpt else ''}",
            reason=reason,
            excerpt=excerpt,
        )

    def status(self, response: httpx.Response) -> RemoteError:
        """It answered with an HTTP error."""
        status = response.status_code
        try:
            body = response.content
        except RuntimeError:  # it was not read
            body = b""
        carrier = Exception()
        carrier.response = response  # type: ignore[attr-defined]  # where `retry_after` looks
        again = status in (408, 425, 429) or (status >= 500 and status not in (501, 505))
        excerpt = self.excerpt(body)
        said = f": {excerpt}" if excerpt else ""
        what = {
            401: "Give it credentials: headers={'Authorization': ...}.",
            403: "Give it credentials that may do this: headers={'Authorization': ...}.",
            404: "Look at the path of its URL.",
            405: "Look at the path of its URL: it takes no POST there.",
        }.get(
            status, "A `retry` may help." if again else "It will not take this request: look at what is sent."
        )
        return self.fail(
            RemoteStatus,
            f"answered with HTTP status {status}{said}{'' if said.endswith(('.', '!', '?')) else '.'} {what}",
            status=status,
            retry_after=retry_after(carrier, time.time()),
            retryable=again,
        )

    def excerpt(self, body: bytes | str) -> str:
        """How an answer begins, in one line, and without what is secret in the request."""
        text = body
        if not isinstance(text, str):
            text = text[: EXCERPT * 8].decode("utf-8", "replace") + ("…" if len(text) > EXCERPT * 8 else "")
        text = self.scrub(re.sub(r"\s+", " ", text).strip())
        text = "".join(c if c.isprintable() else "�" for c in text)
        return text if len(text) <= EXCERPT else text[:EXCERPT] + "…"

    def scrub(self, value: Any) -> Any:
        """What the agent said, without the credentials it was given: some repeat what they were sent."""
        return scrubbed(value, secrets_in([*self.private.values(), *self.hidden]))


def secrets_in(credentials: Iterable[str]) -> list[str]:
    """What is not repeated of credentials: each whole, and its longer words, in every spelling; the longest first."""
    whole = [value for value in credentials if len(value) >= 4]
    parts = [part for value in whole for part in value.split() if len(part) >= 8]
    return sorted({spelt for each in (*whole, *parts) for spelt in spellings(each)}, key=len, reverse=True)


def secrets_in_url(url: str) -> list[str]:
    """What may be a credential in an address: its password, its query, and the longer values in that."""
    parts = urlsplit(url)
    values = [value for _, value in parse_qsl(parts.query) if len(value) >= 12]
    return [unquote(parts.password or ""), parts.query, *values]


def scrubbed(value: Any, secrets: Sequence[str]) -> Any:
    """A plain value, without these texts in it, and without what is left of one that was cut."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "…")
        return without_pieces(value, secrets, "")
    if isinstance(value, dict):
        return {scrubbed(key, secrets): scrubbed(each, secrets) for key, each in value.items()}
    if isinstance(value, list):
        return [scrubbed(each, secrets) for each in value]
    return value


ASKED: ContextVar[Asked | None] = ContextVar("dalsegno_asked", default=None)
"""The call that a request is made for; the transport makes none without it."""


def asked_now() -> Asked:
    """The call that is going on."""
    asked = ASKED.get()
    if asked is None:
        raise RuntimeError("A request was made outside of a call of a remote agent.")
    return asked
