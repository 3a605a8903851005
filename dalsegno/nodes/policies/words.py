"""What is said of an error, and written beside it, whatever class it is of: a failure is not to fail by that."""

from __future__ import annotations

import contextlib


def words_of(error: BaseException) -> str:
    """What an error says; nothing, where its class cannot say it.

    >>> words_of(ValueError("no page"))
    'no page'
    """
    try:
        return str(error)
    except Exception:
        return ""


def in_words(error: BaseException) -> str:
    """An error with its class.

    >>> in_words(ValueError("no page"))
    'ValueError: no page'
    """
    return f"{type(error).__name__}: {words_of(error)}"


def noted(error: BaseException, note: str) -> None:
    """Add a note to an error; none to one that cannot be written to, as of a frozen dataclass."""
    with contextlib.suppress(Exception):
        error.add_note(note)
