"""Values as streams of bytes, and what changed between two of them.

A value's *stream* is its serialised bytes. Of a list or a dictionary it is the bytes of its elements, one
behind the other, without the count in front: so a list that grows only gets a longer stream. What changed
is said by *splices*: the bytes from `start` to `end` are replaced by others. Appending, replacing one
message, removing one by its id, changing a dictionary at one key: each is one splice.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import accumulate

WHOLE, LIST, MAP = 0, 1, 2
"""Forms of a value: serialised bytes of any kind, or the elements of a msgpack array or map."""

Splice = tuple[int, int, bytes]
"""Replace the bytes from the first to the second position of the old stream by these."""

_NEAR = 64  # bytes that must be equal again for a difference to count as over
_HEADERS = ((1, 1), (2, 2), (4, 4), (1, 3), (3, 5), (3, 1), (5, 3))  # how a msgpack count or length changes
_MOST = 8


def header(form: int, count: int) -> bytes:
    """What stands before the elements of a msgpack array or map; nothing before other bytes."""
    if form == WHOLE:
        return b""
    if count < 16:
        return bytes([(0x90 if form == LIST else 0x80) | count])
    if count < 65536:
        return bytes([0xDC if form == LIST else 0xDE]) + count.to_bytes(2, "big")
    return bytes([0xDD if form == LIST else 0xDF]) + count.to_bytes(4, "big")


def header_length(packed: bytes) -> int:
    """How many bytes stand before the elements of a packed array or map, 0 for anything else."""
    first = packed[0] if packed else 0
    if 0x80 <= first <= 0x9F:
        return 1
    return {0xDC: 3, 0xDE: 3, 0xDD: 5, 0xDF: 5}.get(first, 0)


def apply(stream: bytearray, splices: Sequence[Splice]) -> None:
    """Change `stream` in place; the positions are those before any of them."""
    for start, end, data in reversed(splices):
        stream[start:end] = data


def compare(old: bytes, new: bytes, at: int = 0) -> list[Splice]:
    """Splices that make `old` into `new`; positions count from `at`.

    The common beginning and end are kept, and what follows a changed count or length, as of a list in a
    dictionary that has grown.
    """
    splices: list[Splice] = []
    i = j = 0
    while len(splices) < _MOST:
        same = _common(old, i, new, j)
        i, j = i + same, j + same
        if i == len(old) or j == len(new):
            break
        for gone, come in _HEADERS:
            if _equal(old, i + gone, new, j + come):
                splices.append((at + i, at + i + gone, new[j : j + come]))
                i, j = i + gone, j + come
                break
        else:
            break
    if i < len(old) or j < len(new):
        tail = _common_end(old, i, new, j)
        splices.append((at + i, at + len(old) - tail, new[j : len(new) - tail]))
    return splices


def align(old: Sequence[Hashable], new: Sequence[Hashable]) -> Iterator[tuple[int, int, int, int]]:
    """The regions in which two sequences differ: ``(old start, old end, new start, new end)``, in order."""
    i = j = 0
    rows, columns = len(old), len(new)
    places: dict[Hashable, list[int]] | None = None
    while i < rows or j < columns:
        if i < rows and j < columns and old[i] == new[j]:
            i, j = i + 1, j + 1
            continue
        if places is None:
            places = {}
            for position in range(rows - 1, i - 1, -1):
                places.setdefault(old[position], []).append(position)
        begun_i, begun_j = i, j
        # The next of the new ones that is found further on in the old ones ends the region.
        while j < columns:
            known = places.get(new[j])
            while known and known[-1] < i:
                known.pop()
            if known:
                i = known[-1]
                break
            j += 1
        else:
            i = rows
        yield begun_i, i, begun_j, j


def offsets(sizes: Sequence[int]) -> list[int]:
    """Where each element begins, and where the last one ends."""
    return [0, *accumulate(sizes)]


def _common(old: bytes, i: int, new: bytes, j: int) -> int:
    """How many bytes are equal from there on."""
    most = min(len(old) - i, len(new) - j)
    low, step = 0, 64
    # Ever larger steps first: a difference is often near, and the rest is never looked at.
    while low < most:
        step = min(step, most - low)
        if old[i + low : i + low + step] != new[j + low : j + low + step]:
            break
        low, step = low + step, step * 4
    else:
        return most
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        if old[i + low : i + middle] == new[j + low : j + middle]:
            low = middle
        else:
            high = middle
    return low


def _common_end(old: bytes, i: int, new: bytes, j: int) -> int:
    """How many bytes are equal at the end, without going before `i` and `j`."""
    most = min(len(old) - i, len(new) - j)
    low, high = 0, most + 1
    if old[len(old) - most :] == new[len(new) - most :]:
        return most
    while high - low > 1:
        middle = (low + high) // 2
        if old[len(old) - middle :] == new[len(new) - middle :]:
            low = middle
        else:
            high = middle
    return low


def _equal(old: bytes, i: int, new: bytes, j: int) -> bool:
    return len(old) - i >= _NEAR <= len(new) - j and old[i : i + _NEAR] == new[j : j + _NEAR]
