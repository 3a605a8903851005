"""What a superstep changed in a value, found without serialising what it did not change."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, is_dataclass
from dataclasses import fields as fields_of
from typing import TYPE_CHECKING, Any

import ormsgpack

from dalsegno.checkpoints import values
from dalsegno.checkpoints.file.streams import (
    LIST,
    MAP,
    WHOLE,
    Splice,
    align,
    apply,
    compare,
    header,
    offsets,
)
from dalsegno.checkpoints.strict import PACKING, StrictSerializer

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol

INLINE = 256
"""Bytes up to which a value stands in the row that names it."""

BLOCK = 32
"""Elements that are looked at together."""

_IMMUTABLE = frozenset({str, int, float, bool, bytes, type(None)})


@dataclass(slots=True)
class Tip:
    """The row that a stream ends in, and what its chain of rows weighs (see `segments`).

    `data` is that of the row with its room while it may still grow, else None; `used` how many bytes of it count.
    """

    segment: int
    data: bytearray | None
    used: int
    rows: int
    spent: int


@dataclass(frozen=True, slots=True)
class Print:
    """What elements are made of, so that a change in place is seen without serialising them.

    `parts` are the objects in them, which are compared by identity; `contents` is a hash of what those of
    them hold that can change themselves. A long text costs nothing so: it is the same, or it is another.
    """

    parts: list[Any]
    changeable: list[Any]
    contents: int


@dataclass(slots=True)
class Kept:
    """The last stored value of a channel, so that the next one is stored as a difference.

    `items` are the elements themselves: strong references, so that the same `id` is the same object.
    They are None where only the bytes are known, as after reading. `prints` hold one of every `BLOCK` of
    elements, None where none of them can change in place, and False where one cannot be looked into: those
    are always serialised again.
    """

    kind: str
    form: int
    stream: bytearray
    tip: Tip | None = None
    items: list[Any] | None = None
    keys: list[Any] | None = None
    sizes: list[int] = field(default_factory=list)
    prints: list[Print | bool | None] = field(default_factory=list)
    can_change: bool = True

    @property
    def count(self) -> int:
        return len(self.sizes)


@dataclass(slots=True)
class Change:
    """A value that is to be stored: its bytes where they are few, else what changed in its stream.

    `splices` is None where the stream is stored from its beginning.
    """

    kind: str
    inline: bytes | None = None
    kept: Kept | None = None
    splices: list[Splice] | None = None
    fresh: bytes = b""
    """The bytes that are new in it; a write of the same superstep often is among them."""


def change(serde: SerializerProtocol, value: Any, kept: Kept | None, *, thread: str, key: str) -> Change:
    """How `value` is to be stored after `kept`, which becomes its own.

    Raises
    ------
    NotSerializable, TypeNotAllowed
        It cannot be kept; `kept` stands.
    """
    kind = type(value)
    if (kind is list or kind is dict) and is_plain(serde) and value:
        try:
            return _elements(serde, value, kept)  # type: ignore[arg-type]  # is_plain
        except _NoElements:
            pass
        except Exception:
            values.dump(serde, value, thread=thread, key=key)  # raises what names the key
            raise
    name, packed = values.dump(serde, value, thread=thread, key=key)
    if len(packed) <= INLINE:
        return Change(name, packed)
    if kept is None or kept.form != WHOLE or kept.kind != name or kept.tip is None:
        return Change(name, None, Kept(name, WHOLE, bytearray(packed)), None, packed)
    splices = compare(bytes(kept.stream), packed)
    kept.stream = bytearray(packed)
    return Change(name, None, kept, splices, packed)


def is_plain(serde: SerializerProtocol) -> bool:
    """Whether a value's bytes are the msgpack of our own serializer, element by element."""
    return isinstance(serde, StrictSerializer) and type(serde).dumps_typed is StrictSerializer.dumps_typed


def cannot_change(items: list[Any]) -> bool:
    """Whether no element can change in place, so that lists may have them in common."""
    return set(map(type, items)) <= _IMMUTABLE


def read(kind: str, form: int, stream: bytearray, tip: Tip) -> Kept:
    """What was read, as the base of the next difference."""
    return Kept(kind, form, stream, tip)


class _NoElements(Exception):
    """A dictionary with keys that are no texts is stored whole."""


def _elements(serde: StrictSerializer, value: list[Any] | dict[Any, Any], kept: Kept | None) -> Change:
    form = LIST if type(value) is list else MAP
    keys = None
    if isinstance(value, dict):
        value = value.copy()  # at one moment: another thread may change it
        keys, items = list(value), list(value.values())
        if set(map(type, keys)) != {str}:
            raise _NoElements
    else:
        items = list(value)
    pack = serde.packer()
    if kept is None or kept.form != form or kept.tip is None:
        return _from_the_beginning(form, items, keys, pack)
    if kept.items is None:
        return _against_bytes(kept, items, keys, pack)
    return _against_elements(kept, items, keys, pack)


def _from_the_beginning(
    form: int, items: list[Any], keys: list[Any] | None, pack: Callable[[Any], bytes]
) -> Change:
    prints = _prints(items)
    pieces = _pieces(items, keys, pack)
    stream = b"".join(pieces)
    if len(stream) <= INLINE - 3:
        return Change("msgpack", header(form, len(items)) + stream)
    kept = Kept("msgpack", form, bytearray(stream), None, items, keys, list(map(len, pieces)))
    _note(kept, 0, prints)
    return Change("msgpack", None, kept, None, stream)


def _against_bytes(
    kept: Kept, items: list[Any], keys: list[Any] | None, pack: Callable[[Any], bytes]
) -> Change:
    """After reading, nothing but the old bytes is known: everything is serialised once."""
    prints = _prints(items)
    pieces = _pieces(items, keys, pack)
    stream = b"".join(pieces)
    splices = compare(bytes(kept.stream), stream)
    kept.stream = bytearray(stream)
    kept.items, kept.keys, kept.sizes = items, keys, list(map(len, pieces))
    _note(kept, 0, prints)
    return Change("msgpack", None, kept, splices, b"".join(data for _, _, data in splices))


def _against_elements(
    kept: Kept, items: list[Any], keys: list[Any] | None, pack: Callable[[Any], bytes]
) -> Change:
    old = kept.items
    assert old is not None
    count = len(old)
    grown = (
        len(items) >= count
        and all(map(operator.is_, old, items))
        and (keys is None or keys[:count] == kept.keys)
    )
    since = count if grown else 0
    prints = _prints(items, since)
    changed = _changed(kept) if kept.can_change else []
    if grown and not changed:
        pieces = _pieces(items[count:], keys and keys[count:], pack)
        tail = b"".join(pieces)
        end = len(kept.stream)
        kept.stream += tail
        kept.sizes += map(len, pieces)
        kept.items, kept.keys = items, keys
        _note(kept, since, prints)
        return Change("msgpack", None, kept, [(end, end, tail)] if tail else [], tail)
    if since:  # what changed in place may be anywhere
        prints = _prints(items)
        changed = _changed(kept)
    return _rearranged(kept, items, keys, changed, prints, pack)


def _rearranged(
    kept: Kept,
    items: list[Any],
    keys: list[Any] | None,
    changed: Sequence[int],
    prints: list[Print | bool | None],
    pack: Callable[[Any], bytes],
) -> Change:
    """Elements were replaced, removed, moved or changed in place: find which, by identity, then by bytes."""
    old = kept.items
    assert old is not None
    before: list[Any] = list(map(id, old))
    for position in changed:
        before[position] = -1 - position
    after: list[Any] = list(map(id, items))
    if keys is not None and kept.keys is not None:
        before, after = list(zip(kept.keys, before, strict=True)), list(zip(keys, after, strict=True))
    stream = bytes(kept.stream)
    where = offsets(kept.sizes)
    splices: list[Splice] = []
    sizes: list[int] = []
    fresh: list[bytes] = []
    done = 0
    for i, i_end, j, j_end in align(before, after):
        sizes += kept.sizes[done:i]
        done = i_end
        pieces = _pieces(items[j:j_end], keys and keys[j:j_end], pack)
        fresh += pieces
        sizes += map(len, pieces)
        olds = [stream[where[n] : where[n + 1]] for n in range(i, i_end)]
        for r, r_end, c, c_end in align(olds, pieces):
            begin, end = where[i + r], where[i + r_end]
            splices += compare(stream[begin:end], b"".join(pieces[c:c_end]), begin)
    kept.sizes = sizes + kept.sizes[done:]
    kept.items, kept.keys = items, keys
    _note(kept, 0, prints)
    apply(kept.stream, splices)
    return Change("msgpack", None, kept, splices, b"".join(fresh))


def _pieces(items: Sequence[Any], keys: Sequence[Any] | None, pack: Callable[[Any], bytes]) -> list[bytes]:
    if not keys:
        return list(map(pack, items))
    return [pack(key) + pack(item) for key, item in zip(keys, items, strict=True)]


# --- elements that change in place ---


# With LangGraph's durability "async" the nodes of the next superstep run while a checkpoint is stored, and may change
# an element at any moment. So it is looked at before anything else: before it is compared with what it was, and before
# it is serialised. A change in between is seen the next time, where one that the print had but not the bytes never is.


def _prints(items: list[Any], since: int = 0) -> list[Print | bool | None]:
    """What the elements are made of, from the block of the element `since` on."""
    first = since - since % BLOCK
    return [_print_of(items[start : start + BLOCK]) for start in range(first, len(items), BLOCK)]


def _note(kept: Kept, since: int, prints: list[Print | bool | None]) -> None:
    """Keep what the elements from `since` on are made of."""
    kept.prints[since // BLOCK :] = prints
    kept.can_change = any(one is not None for one in kept.prints)


def _changed(kept: Kept) -> list[int]:
    """The positions of the elements that may not be what they were when they were stored."""
    items = kept.items
    assert items is not None
    changed: list[int] = []
    for block, known in enumerate(kept.prints):
        start = block * BLOCK
        if known is not None and not _is_as_it_was(items[start : start + BLOCK], known):
            changed += range(start, min(start + BLOCK, len(items)))
    return changed


def _print_of(items: list[Any]) -> Print | bool | None:
    if cannot_change(items):
        return None
    try:
        parts = _parts(items)
        changeable = [part for part in parts if type(part) not in _IMMUTABLE]
        return Print(parts, changeable, _hash(changeable))
    except Exception:  # whatever an object raises that is looked into
        return False


def _is_as_it_was(items: list[Any], known: Print | bool) -> bool:
    if not isinstance(known, Print):
        return False
    try:
        parts = _parts(items)
        same = len(parts) == len(known.parts) and all(map(operator.is_, parts, known.parts))
        return same and _hash(known.changeable) == known.contents
    except Exception:  # as above
        return False


_END = "end of an element"  # compared by identity


def _parts(items: list[Any]) -> list[Any]:
    """The objects that elements are made of: of a model and of a dictionary one level deep."""
    models = {kind for kind in set(map(type, items)) if hasattr(kind, "__pydantic_private__")}
    parts: list[Any] = []
    for item in items:
        if type(item) in models:
            parts += item.__dict__.values()
            parts += (item.__pydantic_extra__, item.__pydantic_private__, _END)
        elif type(item) is dict:
            parts += item
            parts += item.values()
            parts.append(_END)
        else:
            parts.append(item)
    return parts


def _hash(changeable: list[Any]) -> int:
    return hash(ormsgpack.packb(changeable, default=_contents, option=PACKING)) if changeable else 0


def _contents(item: Any) -> Any:
    """What an object that msgpack does not know is made of."""
    contents: tuple[Any, ...]
    kind = type(item)
    if hasattr(kind, "__pydantic_private__"):
        contents = item.__dict__, item.__pydantic_extra__, item.__pydantic_private__
    elif is_dataclass(kind):
        contents = tuple(getattr(item, f.name) for f in fields_of(kind))
    else:
        raise TypeError(kind)
    return f"{kind.__module__}.{kind.__qualname__}", contents
