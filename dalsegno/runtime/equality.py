"""Whether two values of a state are the same, whatever users make of `==`."""

from __future__ import annotations

from typing import Any


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are one and the same, or equal; False where nobody can tell.

    >>> is_same([1], [1]), is_same([1], [2])
    (True, False)
    """
    try:
        return one is other or bool(one == other)
    except Exception:  # an array's answer is no truth value, and a user's __eq__ may do anything
        return False
