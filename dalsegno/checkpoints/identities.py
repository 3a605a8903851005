"""Names of checkpoints and tasks as they are stored: a UUID takes 16 bytes in place of 36."""

from __future__ import annotations

import functools
import re

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

Stored = bytes | str


@functools.lru_cache(maxsize=1024)
def shorten(identity: str) -> Stored:
    """The bytes of a UUID in its usual spelling, anything else as it is. The order stays the same."""
    if len(identity) == 36 and _UUID.fullmatch(identity):
        return bytes.fromhex(identity.replace("-", ""))
    return identity


def time_ordered(seconds: float) -> Stored:
    """The lowest identity of LangGraph's kind (UUID version 6) that is made at that moment, in unix seconds.

    https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-6
    """
    ticks = max(int(min(max(seconds, -1e11), 1e11) * 10_000_000) + 0x01B21DD213814000, 0)  # of 60 bits
    return ((ticks >> 12) << 16 | 0x6000 | (ticks & 0xFFF)).to_bytes(8, "big") + bytes(8)


def lengthen(stored: Stored) -> str:
    """The identity that was shortened; of what is none, its text."""
    if not isinstance(stored, bytes):
        return str(stored)
    digits = stored.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
