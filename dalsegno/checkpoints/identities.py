"""Names of checkpoints and tasks as they are stored: a UUID takes 16 bytes in place of 36."""

from __future__ import annotations

import re

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

Stored = bytes | str


def shorten(identity: str) -> Stored:
    """The bytes of a UUID in its usual spelling, anything else as it is. The order stays the same."""
    if len(identity) == 36 and _UUID.fullmatch(identity):
        return bytes.fromhex(identity.replace("-", ""))
    return identity


def lengthen(stored: Stored) -> str:
    """The identity that was shortened."""
    if isinstance(stored, str):
        return stored
    digits = stored.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
