"""Values to bytes and back, building only types that were allowed.

The bytes are those of LangGraph's `JsonPlusSerializer`. It differs where LangGraph's strict mode is
silent: that one gives back the raw data of a type that is not allowed, of one that is gone, and of one
whose constructor fails, and writes types that it cannot read again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import EnumType
from typing import Any

import ormsgpack
from langgraph.checkpoint.serde import jsonplus

# The lists and the snapshot are named in LangGraph's documentation, but live in private names.
from langgraph.checkpoint.serde._msgpack import SAFE_MSGPACK_METHODS, SAFE_MSGPACK_TYPES
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from pydantic import TypeAdapter

from dalsegno.checkpoints.scripts import module_here
from dalsegno.checkpoints.shortcuts import stored_fields, taken_apart
from dalsegno.errors import DefinitionError, NotSerializable, TypeNotAllowed

Allowed = type | tuple[str, ...]
"""A type, or its (module, name)."""

PACKING = (
    ormsgpack.OPT_NON_STR_KEYS
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_UUID
    | ormsgpack.OPT_REPLACE_SURROGATES
)
_UNPACKING = ormsgpack.OPT_NON_STR_KEYS
_NATIVE = ("null", "bytes", "bytearray", "msgpack")
_NOTHING = ("null", b"")
# Python 3.13 alone has the classes of `pathlib` there, and stored them so.
_MOVED = {"pathlib._local": "pathlib"}


class StrictSerializer(jsonplus.JsonPlusSerializer):
    """LangGraph's serializer that refuses what is not allowed instead of passing over it.

    Parameters
    ----------
    allow
        Types, or their (module, name), that may be built beside LangGraph's own safe ones
        (messages, documents, dates, numbers, paths, sets, `Send`, `Command`, `Interrupt`).

    Raises
    ------
    TypeNotAllowed
        Reading a type that is not allowed, or that is gone or cannot be built from what was stored;
        writing one that could not be read again. `thread` and `key` are filled in by the checkpointer.
    NotSerializable
        Writing a value that has no bytes: a lock, an open file, an exception, a local class.
    """

    def __init__(self, allow: Iterable[Allowed] = ()) -> None:
        super().__init__(allowed_msgpack_modules=None)
        self._allowed: set[tuple[str, ...]] = set()
        # The types that were written, and built again; of a dataclass its fields.
        self._writable: dict[type, tuple[str, ...] | None] = {}
        self.allow_types(allow)

    def allow_types(self, types: Iterable[Allowed]) -> None:
        """Let these types be written and read from now on."""
        types = [types] if isinstance(types, type) else list(types)
        if wrong := [t for t in types if not isinstance(t, (type, tuple))]:
            raise DefinitionError(f"allow={wrong!r}: types, or (module, name) pairs of them, are needed.")
        keys = {(t.__module__, t.__name__) if isinstance(t, type) else tuple(t) for t in types}
        # A new set, not a change to the old one: other threads may be reading it.
        self._allowed = self._allowed | keys
        self._writable = {}

    def with_msgpack_allowlist(self, extra_allowlist: Iterable[tuple[str, ...] | type]) -> StrictSerializer:
        return StrictSerializer([*self._allowed, *extra_allowlist])

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        if obj is None:
            return _NOTHING
        if isinstance(obj, (bytes, bytearray)):
            return super().dumps_typed(obj)
        writer = _Writer(self)
        try:
            return "msgpack", ormsgpack.packb(obj, default=writer, option=PACKING)
        except (TypeError, ValueError, RecursionError) as error:
            if writer.problem is not None:
                raise writer.problem from None
            raise _not_serializable(_type_name(type(obj)), str(error)) from None

    def packer(self) -> Callable[[Any], bytes]:
        """A function that gives the bytes of a part of a value; what it raises does not say which type."""
        return functools.partial(ormsgpack.packb, default=_Writer(self), option=PACKING)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        kind, payload = data
        if kind == "msgpack":
            return self._unpack(payload, plain=False)
        if isinstance(kind, str) and "+" in kind:  # as LangGraph's EncryptedSerializer names what it writes
            raise _not_allowed(kind, "what was stored is encrypted")
        if kind not in _NATIVE:
            raise _not_allowed(kind, f"values stored as `{kind}` may run code when they are read")
        return super().loads_typed(data)

    def loads_plain(self, data: tuple[str, bytes]) -> Any:
        """Like `loads_typed`, for showing: a type that may not be built comes back as its plain data."""
        kind, payload = data
        if kind == "msgpack":
            return self._unpack(payload, plain=True)
        return super().loads_typed(data) if kind in _NATIVE else f"<{kind}>"

    def _unpack(self, payload: bytes, plain: bool) -> Any:
        reader = _Reader(self._allowed, plain)
        try:
            return ormsgpack.unpackb(payload, ext_hook=reader, option=_UNPACKING)
        except ValueError as error:
            # ormsgpack replaces what its hook raised by an error of its own.
            if reader.problem is not None:
                raise reader.problem from None
            raise _not_allowed("msgpack", f"what was stored is damaged ({error})") from None

    def _encode(self, obj: Any) -> tuple[int, bytes]:
        """The msgpack extension for an object that msgpack has no notation for."""
        if isinstance(obj, BaseException):
            name = _type_name(type(obj))
            raise _not_serializable(name, "an exception cannot be built again; keep its message instead")
        kind, known = type(obj), self._writable
        is_new = kind not in known
        fields = stored_fields(kind) if is_new else known[kind]
        try:
            code, payload = self._extension(obj, fields)
        except (AttributeError, TypeError, ValueError, RecursionError) as error:
            raise _not_serializable(_type_name(kind), str(error)) from None
        check = _Check(self._allowed)
        if code == jsonplus.EXT_NUMPY_ARRAY:
            check.array(obj.dtype.str)
            return code, payload
        if is_new and code != jsonplus.EXT_DELTA_SNAPSHOT:
            stored = ormsgpack.unpackb(payload, ext_hook=_as_pair, option=_UNPACKING)
            module, name = stored[:2]
            if getattr(sys.modules.get(module), name, None) is not kind and kind is not re.Pattern:
                way = "define it at module level"
                if "[" in name:  # of a generic model, made inside of something else
                    way = f"use a class of its own, defined at module level: `class Named({name}): ...`"
                raise _not_serializable(
                    _type_name(kind), f"it is not found again as `{module}.{name}`; {way}"
                )
            check.kind(code, stored)
            check.inside(payload)
            self._try(code, payload)
            known[kind] = fields
        else:
            check.inside(payload)  # LangGraph, which has written what is inside, asks for no type
        return code, payload

    def _extension(self, obj: Any, fields: tuple[str, ...] | None) -> tuple[int, bytes]:
        """The extension and the bytes for an object; `fields` are those of a dataclass."""
        known = taken_apart(obj, fields)
        if known is not None:
            code, content = known
            return code, super().dumps_typed(content)[1]
        _, packed = super().dumps_typed(obj)
        extension: tuple[int, bytes] = ormsgpack.unpackb(packed, ext_hook=_as_pair, option=_UNPACKING)
        return extension

    def _try(self, code: int, payload: bytes) -> None:
        """Build the first value of a type again: how a class is stored does not always lead back to it."""
        reader = _Reader(self._allowed, plain=False)
        try:
            reader(code, payload)
        except (TypeNotAllowed, ValueError) as error:
            problem = reader.problem or error
            why = problem.data["why"] if isinstance(problem, TypeNotAllowed) else problem
            name = problem.type if isinstance(problem, TypeNotAllowed) else "msgpack"
            raise _not_serializable(name, f"it could not be read again: {why}") from None


class _Check:
    """Whether what was written can be read again; builds nothing. Keeps the error that msgpack would replace."""

    __slots__ = ("allowed", "problem")

    def __init__(self, allowed: Collection[tuple[str, ...]]) -> None:
        self.allowed = allowed
        self.problem: NotSerializable | TypeNotAllowed | None = None

    def inside(self, payload: bytes) -> Any:
        """The plain data of an extension, once what is in it was checked."""
        try:
            return ormsgpack.unpackb(payload, ext_hook=self, option=_UNPACKING)
        except ValueError:
            if self.problem is not None:
                raise self.problem from None
            raise

    def __call__(self, code: int, payload: bytes) -> None:
        try:
            stored = self.inside(payload)
            if code == jsonplus.EXT_NUMPY_ARRAY:
                self.array(stored[0])
            elif code != jsonplus.EXT_DELTA_SNAPSHOT:
                self.kind(code, stored)
        except (NotSerializable, TypeNotAllowed) as problem:
            self.problem = self.problem or problem
            raise

    def kind(self, code: int, stored: Sequence[Any]) -> None:
        """Raise TypeNotAllowed where an extension may not be built."""
        module, name, _, *rest = stored
        if not _may_build(self.allowed, code, module, name, *rest):
            raise _not_allowed(f"{module}.{name}", "it could not be read again")

    def array(self, dtype: str) -> None:
        """Raise NotSerializable where an array's elements are not in its bytes, or lose their names there."""
        if dtype[1:2] in ("O", "V"):
            raise _not_serializable("numpy.ndarray", f"its elements are no numbers and no texts (`{dtype}`)")


class PlainReader(StrictSerializer):
    """Reads values for showing: one of a type that may not be built as its plain data, an encrypted one not at all."""

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        return self.loads_plain(data)


class _Writer:
    """What msgpack asks about an object it does not know; keeps the error that msgpack would replace."""

    __slots__ = ("problem", "serializer")

    def __init__(self, serializer: StrictSerializer) -> None:
        self.serializer = serializer
        self.problem: Exception | None = None

    def __call__(self, obj: Any) -> ormsgpack.Ext:
        try:
            return ormsgpack.Ext(*self.serializer._encode(obj))
        except (NotSerializable, TypeNotAllowed) as error:
            self.problem = error
            raise


class _Reader:
    """Builds the objects in a stored value; keeps the error that msgpack would replace."""

    __slots__ = ("allowed", "plain", "problem")

    def __init__(self, allowed: Collection[tuple[str, ...]], plain: bool) -> None:
        self.allowed = allowed
        self.plain = plain
        self.problem: TypeNotAllowed | None = None

    def __call__(self, code: int, payload: bytes) -> Any:
        stored = ormsgpack.unpackb(payload, ext_hook=self, option=_UNPACKING)
        if code == jsonplus.EXT_DELTA_SNAPSHOT:
            return _DeltaSnapshot(stored)
        name = f"extension {code}"
        try:
            if code == jsonplus.EXT_NUMPY_ARRAY:
                return _array(*stored)
            name = f"{stored[0]}.{stored[1]}"
            if _may_build(self.allowed, code, *stored[:2], *stored[3:]):
                return _build(code, *stored)
            here = module_here(self.allowed, *stored[:2])
            if _may_build(self.allowed, code, here, stored[1], *stored[3:]):
                return _build(code, here, *stored[1:])
            problem = _not_allowed(name, "it may not be read")
        except Exception as error:
            problem = _not_allowed(
                name, f"it cannot be built from what was stored ({type(error).__name__}: {error})"
            )
        if self.plain:
            return stored[2] if isinstance(stored, list) and len(stored) > 2 else stored
        self.problem = self.problem or problem
        raise problem


def _may_build(allowed: Collection[tuple[str, ...]], code: int, module: str, name: str, *rest: str) -> bool:
    if code == jsonplus.EXT_METHOD_SINGLE_ARG:
        return (module, name, *rest) in SAFE_MSGPACK_METHODS
    if code > jsonplus.EXT_PYDANTIC_V2:
        return False
    return (module, name) in SAFE_MSGPACK_TYPES or (module, name) in allowed


def _build(code: int, module: str, name: str, value: Any, method: str = "") -> Any:
    found = sys.modules.get(module) or importlib.import_module(_MOVED.get(module, module))
    cls = getattr(found, name)
    if code == jsonplus.EXT_CONSTRUCTOR_SINGLE_ARG:
        return _member(cls, value) if isinstance(cls, EnumType) else cls(value)
    if code == jsonplus.EXT_CONSTRUCTOR_POS_ARGS:
        if (module, name) == ("langgraph.types", "Send") and len(value) == 3:
            return cls(value[0], value[1], timeout=value[2])
        return cls(*value)
    if code == jsonplus.EXT_CONSTRUCTOR_KW_ARGS:
        return _with_fields(cls, value)
    if code == jsonplus.EXT_METHOD_SINGLE_ARG:
        return getattr(cls, method)(value)
    validated = value
    if getattr(cls, "__pydantic_root_model__", False):
        value = {"root": value}
    # A model is stored after its validation, under its field names and with plain data in it; it may take other names,
    # or be strict, or have validators that are not idempotent.
    try:
        return cls(**value)
    except Exception:
        if code == jsonplus.EXT_PYDANTIC_V2:
            with contextlib.suppress(Exception):
                return cls.model_validate(validated, strict=False, by_name=True)
            value = {name: _field(cls, name, one) for name, one in value.items()}
        construct = cls.construct if code == jsonplus.EXT_PYDANTIC_V1 else cls.model_construct
        built = construct(**value)
        fields = cls.__fields__ if code == jsonplus.EXT_PYDANTIC_V1 else cls.model_fields
        if missing := [f"`{name}`" for name in fields if not hasattr(built, name)]:
            raise ValueError(f"nothing was stored for its {', '.join(missing)}") from None
        return built


def _field(cls: Any, name: str, value: Any) -> Any:
    """What stood in a field of a model that cannot be validated as a whole: models, where plain data was stored."""
    if isinstance(value, (dict, list)) and name in cls.model_fields:
        with contextlib.suppress(Exception):
            return _adapter(cls, name).validate_python(value, strict=False, by_name=True)
    return value


@functools.cache
def _adapter(cls: Any, name: str) -> TypeAdapter[Any]:
    return TypeAdapter(cls.model_fields[name].annotation)


def _member(cls: EnumType, value: Any) -> Any:
    """The member of that value; msgpack has no tuples, so one of them was stored as a list."""
    if isinstance(value, list):
        members: Mapping[str, Any] = cls.__members__
        for member in members.values():
            if _lists(member.value) == value:
                return member
    return cls(value)


def _lists(value: Any) -> Any:
    return [_lists(one) for one in value] if isinstance(value, (list, tuple)) else value


def _with_fields(cls: Any, value: dict[str, Any]) -> Any:
    """A dataclass: the fields that its constructor does not take are set behind it."""
    late = _late_fields(cls)
    built = cls(**({name: one for name, one in value.items() if name not in late} if late else value))
    for name in late:
        if name in value:
            object.__setattr__(built, name, value[name])
    return built


@functools.lru_cache(maxsize=1024)
def _late_fields(cls: Any) -> frozenset[str]:
    """The fields of a dataclass that its constructor does not take."""
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    return frozenset(field.name for field in fields if not field.init)


def _array(dtype: str, shape: list[int], order: Any, buffer: bytes) -> Any:
    import numpy  # type: ignore[import-not-found,unused-ignore]  # only where an array was stored

    return numpy.frombuffer(buffer, dtype=numpy.dtype(dtype)).reshape(shape, order=order)


def _as_pair(code: int, payload: bytes) -> tuple[int, bytes]:
    return code, payload


def _type_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _not_allowed(name: str, why: str) -> TypeNotAllowed:
    return TypeNotAllowed(f"type `{name}`: {why}", thread=None, key="", type=name, why=why)


def _not_serializable(name: str, why: str) -> NotSerializable:
    return NotSerializable(f"type `{name}`: {why}", thread=None, key="", type=name, why=why)
