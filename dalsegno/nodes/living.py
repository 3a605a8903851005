"""The objects of a class that somebody still has, for who looks through all of them."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Living(Generic[T]):
    """Holds objects without keeping them alive. Used from any thread.

    Not a `WeakSet`: that one cannot be looked through while another thread adds to it, and a lock would be held in
    forked children. Whoever looks here sees what was there when it began.
    """

    def __init__(self) -> None:
        # Each of these is done in one step, which no other thread can come into.
        self._references: dict[weakref.ref[T], None] = {}

    def add(self, one: T) -> None:
        """Hold one more."""
        self._references[weakref.ref(one, self._forget)] = None

    def discard(self, one: T) -> None:
        """Hold it no longer."""
        self._references.pop(weakref.ref(one), None)

    def __iter__(self) -> Iterator[T]:
        found = [reference() for reference in list(self._references)]
        return iter([one for one in found if one is not None])

    def _forget(self, reference: weakref.ref[T]) -> None:
        self._references.pop(reference, None)
