"""Paths of nodes: ``sub/write`` is the node `write` of the subworkflow `sub`.

A name may have a ``/`` itself, or a ``#``, by which a node is told from the number of its execution. People read
names as they were written. Whatever takes a path apart reads its *place*: the path with these two written by their
codes, as in the address of a page, and ``|`` where that has ``%``. No name has a ``|``, so that a place comes apart in
one way only, and the place of most nodes is their path as people read it.
"""

from __future__ import annotations

from collections.abc import Iterable

_CODES = {"/": "|2F", "#": "|23"}


def coded(name: str) -> str:
    """A name, as it stands in a place.

    >>> coded("read/write")
    'read|2Fwrite'
    """
    if "/" in name or "#" in name:  # few have one, and every attempt of a node asks several times
        for sign, code in _CODES.items():
            name = name.replace(sign, code)
    return name


def shown(place: str) -> str:
    """A place, or a part of one, as people read it.

    >>> shown("sub/read|2Fwrite")
    'sub/read/write'
    """
    if "|" in place:
        for sign, code in _CODES.items():
            place = place.replace(code, sign)
    return place


def prefix_of(place: str) -> str:
    """What stands before a node's name in its place: ``sub/`` for ``sub/write``."""
    outer, slash, _ = place.rpartition("/")
    return outer + slash


def around(place: str) -> str:
    """The place of the subworkflow that a node is in; empty for one of the outermost workflow."""
    return place.rpartition("/")[0]


def name_of(place: str) -> str:
    """A node's own name.

    >>> name_of("sub/read|2Fwrite")
    'read/write'
    """
    return shown(place.rpartition("/")[2])


def names_of(place: str) -> tuple[str, ...]:
    """The names that a place is made of, from the outermost workflow in; none of the empty one."""
    return tuple(map(shown, place.split("/"))) if place else ()


def meant(path: str, places: Iterable[str], beside: str = "") -> str:
    """The place that somebody means who wrote a path: where several read so, the one next to `beside`.

    What is none of the `places` is taken for one.

    >>> meant("read/write", ["sub", "read|2Fwrite"])
    'read|2Fwrite'
    """
    found = [place for place in places if shown(place) == path]
    near = (place for place in found if prefix_of(place) == prefix_of(beside))
    return next(near, found[0] if found else path)
