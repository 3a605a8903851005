"""Any text as a label of a namespace in a LangGraph store, which takes neither a period nor a NUL in one."""

from __future__ import annotations

_CODES = str.maketrans({"%": "%25", ".": "%2E", "\0": "%00"})


def label(text: str) -> str:
    """A label that only this text has; of most texts the text itself.

    >>> label("ada@example.org")
    'ada@example%2Eorg'
    """
    return text.translate(_CODES)
