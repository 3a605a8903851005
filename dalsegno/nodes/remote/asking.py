"""What goes with every request: credentials, the idempotency key, the trace; and the time that all of it may take."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from pydantic import SecretStr

from dalsegno.errors import DefinitionError
from dalsegno.nodes.execution import Execution, current_execution
from dalsegno.nodes.remote.addresses import parsed, shown
from dalsegno.nodes.remote.request import ASKED, Access, Asked, secrets_in_url

T = TypeVar("T")

Headers = Mapping[str, str | SecretStr] | Callable[[], Mapping[str, str | SecretStr]]

_OURS = {
    "accept-encoding",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "traceparent",
    "transfer-encoding",
}
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def asked_of(
    url: str, *, name: str, node: str, access: Access, headers: dict[str, str], key: bool = True
) -> Asked:
    """A call that begins now, in this execution; with `key`, one that is repeated under the same idempotency key."""
    parts = parsed(url)
    sent: dict[str, str] = {}
    marked = idempotency_key(current_execution()) if key else None
    if marked is not None:
        sent["Idempotency-Key"] = marked
    sent.update(_trace())
    return Asked(
        agent=f"`{name}` at {shown(url)}",
        node=node,
        access=access,
        origin=(
            parts.scheme,
            (parts.hostname or "").lower(),
            parts.port or (443 if parts.scheme == "https" else 80),
        ),
        private=headers,
        hidden=tuple(secrets_in_url(url)),
        headers=sent,
        name=name,
    )


async def in_time(asked: Asked, work: Callable[[], Awaitable[T]]) -> T:
    """What `work` gives, held to the call's time.

    Raises
    ------
    RemoteTimeout
        It takes longer.
    """
    token = ASKED.set(asked)
    limit = asyncio.timeout(asked.access.timeout)
    try:
        async with limit:
            return await work()
    except TimeoutError:
        if limit.expired():
            raise asked.too_slow() from None
        raise
    finally:
        ASKED.reset(token)


def idempotency_key(execution: Execution | None) -> str | None:
    """The key of a request: the execution's own for its first, with a number for further ones; None outside of a run.

    Every attempt and every resume of an execution sends the same keys in the same order.
    """
    if execution is None or execution.context is None:
        return None
    if execution.used_names is None:
        execution.used_names = set()
    number = 1
    while (mark := f"\x00request {number}") in execution.used_names:
        number += 1
    execution.used_names.add(mark)
    return execution.idempotency_key if number == 1 else f"{execution.idempotency_key}-{number}"


def revealed(headers: Headers | None) -> dict[str, str]:
    """The headers as they are sent; a function is asked each time, so that a token can be renewed.

    Raises
    ------
    DefinitionError
        One is no header, or one that is ours to send.
    """
    given = headers() if callable(headers) else headers
    return {name: _value(name, value) for name, value in (given or {}).items()}


def _value(name: str, value: Any) -> str:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.lower() in _OURS:
        raise DefinitionError(
            f"headers={{{name!r}: …}}: this is no header that can be given. Its name is letters and dashes; "
            f"{', '.join(sorted(_OURS))} are sent by the call itself."
        )
    if not isinstance(text, str) or not _VALUE.fullmatch(text):
        raise DefinitionError(
            f"headers={{{name!r}: …}}: its value is a text of one line, in Latin-1, or a SecretStr."
        )
    return text


def _trace() -> dict[str, str]:
    """The current span, for the agent to go on from: W3C Trace Context, or what the user's propagator writes."""
    trace = sys.modules.get("opentelemetry.trace")  # where it is not loaded there is no span
    if trace is None or not trace.get_current_span().get_span_context().is_valid:
        return {}
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    carrier.pop("baggage", None)  # it is for one's own services
    return {name.lower(): value for name, value in carrier.items()}
