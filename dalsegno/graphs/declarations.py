"""What a callable declares about itself through its annotations.

A router declares targets (`Literal`), a node declares destinations (`Command[Literal[...]]`) and
the keys it reads or writes (a schema narrower than the state). Nothing is concluded from an
annotation that says no more than the state does.
"""

from __future__ import annotations

import collections.abc
import contextlib
import dataclasses
import functools
import inspect
import re
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints
from weakref import WeakKeyDictionary

from dalsegno.errors import DefinitionError
from dalsegno.graphs import names
from dalsegno.nodes.aliases import meant, qualifier
from dalsegno.nodes.secrets import Secret

_TOKENS = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[\[\],]|[^\[\],'"]+|.""", re.DOTALL)
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
_MODULE = re.compile(r"(?<![\w.<])(?:[^\W\d]\w*\.(?:<locals>\.)?)+(?=[^\W\d])")
_LAST_WORD = re.compile(r"[\w.]+\Z")

_MANY = (list, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Iterable)


def function_of(action: Any) -> Any:
    """The function behind a callable, a partial or a runnable around a function."""
    while isinstance(action, functools.partial):
        action = action.func
    for name in ("func", "afunc"):  # RunnableLambda and its like
        inner = getattr(action, name, None)
        if callable(inner) and not inspect.isfunction(action) and not inspect.isclass(action):
            return inner
    if inspect.isfunction(action) or inspect.ismethod(action) or inspect.isclass(action):
        return action
    return getattr(action, "__call__", action)  # noqa: B004 - the bound method, to read its hints


def router_name(path: Any, taken: Collection[str]) -> str:
    """What a router is called: as its function, with a number where a name is taken."""
    name = getattr(path, "name", None) or getattr(function_of(path), "__name__", None)
    name = name if isinstance(name, str) and name not in ("<lambda>", "__call__") else "condition"
    number, unique = 2, name
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    return unique


def hints_of(action: Any) -> dict[str, Any]:
    """The resolved annotations of a callable, aliases opened, without those that cannot be resolved."""
    function = function_of(action)
    if inspect.isclass(function):
        return {}
    try:
        hints = get_type_hints(function, include_extras=True)
    except _UNRESOLVED:
        hints = _hints_one_by_one(function)
    return {name: meant(hint) for name, hint in hints.items()}


_UNRESOLVED = (NameError, TypeError, AttributeError, SyntaxError)


def _hints_one_by_one(function: Any) -> dict[str, Any]:
    """The annotations that can be resolved where another cannot: its class was made in a function, or is imported for
    type checkers only."""
    try:
        said = dict(getattr(function, "__annotations__", {}))
    except _UNRESOLVED:  # since Python 3.14 they are evaluated there
        return {}
    names = getattr(inspect.unwrap(function), "__globals__", {})
    found: dict[str, Any] = {}
    for name, hint in said.items():

        def alone() -> None: ...

        alone.__annotations__ = {name: hint}
        with contextlib.suppress(*_UNRESOLVED):
            found |= get_type_hints(alone, globalns=names, include_extras=True)
    return found


def first_parameter(action: Any) -> Any:
    """The annotation of the first parameter that is not `self`, or None."""
    function = function_of(action)
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return None
    return hints_of(action).get(names[0]) if names else None


_KEYS: WeakKeyDictionary[type, dict[str, Any]] = WeakKeyDictionary()
"""What `schema_keys` found, by class: a workflow asks for the same few classes at every node."""


def schema_keys(schema: Any) -> dict[str, Any] | None:
    """Key names and annotations of a TypedDict, dataclass or pydantic class; None for anything else."""
    if not isinstance(schema, type):
        return None
    found = _KEYS.get(schema)
    if found is None:
        found = _keys_of(schema)
        if found is None:
            return None
        _KEYS[schema] = found
    return dict(found)


def _keys_of(schema: Any) -> dict[str, Any] | None:
    fields = getattr(schema, "model_fields", None)
    is_typed_dict = typing.is_typeddict(schema) or _is_extension_typeddict(schema)
    if fields is None and not dataclasses.is_dataclass(schema) and not is_typed_dict:
        return None
    try:
        hints = get_type_hints(schema, include_extras=True)
    except NameError as error:
        raise DefinitionError(
            f"The annotations of `{schema.__name__}` cannot be resolved: {error}. Define or import "
            f"that name in the module of `{schema.__name__}`, not inside a function.",
        ) from error
    if isinstance(fields, Mapping):
        return {name: _filled(hints[name], field) for name, field in fields.items() if name in hints}
    return {name: hint for name, hint in hints.items() if get_origin(hint) is not typing.ClassVar}


def _filled(hint: Any, field: Any) -> Any:
    """A field's annotation with the parameters of a generic class filled in, which only the field itself has."""
    if not isinstance(hint, typing.TypeVar) and not getattr(hint, "__parameters__", ()):
        return hint
    marks = getattr(hint, "__metadata__", ())  # in their order: the last may be a reducer
    annotated: Any = typing.Annotated
    return annotated[(field.annotation, *marks)] if marks else field.annotation


def check_key(key: str, hint: Any, schema: Any) -> None:
    """Refuse a key of a state whose name is reserved or no text, or whose reducer would not be used."""
    if not names.is_text(key):
        raise DefinitionError(
            f"{key!r} of `{schema.__name__}` has half of a surrogate pair in it: it cannot be stored under that name."
        )
    if key in names.KEPT or key.startswith(names.CHANNELS):
        raise DefinitionError(
            f"LangGraph keeps the name `{key}` for itself: call that state key something else."
        )
    if key.startswith("__dalsegno"):
        raise DefinitionError(
            f"The state key `{key}` is reserved: choose a name that does not start with it."
        )
    if _hides_channel(hint):
        raise DefinitionError(
            f"`{key}` of `{schema.__name__}` has its reducer inside an alias or `ReadOnly`, where LangGraph does not "
            "look: every write would replace the value. Write the `Annotated[...]` at the key itself."
        )

    if (name := _reducer_in_front(hint)) is not None:
        raise DefinitionError(
            f"`{key}` of `{schema.__name__}` has something behind its reducer `{name}`, and LangGraph takes a reducer "
            "from the last place only: every write would replace the value. Write the reducer last."
        )


def _reducer_in_front(hint: Any) -> str | None:
    """The name of a reducer behind which something else stands, so that LangGraph does not see it."""
    while qualifier(hint) in ("Required", "NotRequired"):
        hint = get_args(hint)[0]
    marks = getattr(hint, "__metadata__", ()) if get_origin(hint) is typing.Annotated else ()
    if not marks or marks[-1] is Secret or callable(marks[-1]) or _has_channel(hint):
        return None  # of `Secret` it is said by itself
    found = [mark for mark in marks if not isinstance(mark, type) and _takes_two(mark)]
    return getattr(found[0], "__name__", type(found[0]).__name__) if found else None


def _hides_channel(hint: Any) -> bool:
    """Whether a key has its reducer where LangGraph does not see it: inside an alias, or inside `ReadOnly`."""
    seen = hint
    while qualifier(seen) in ("Required", "NotRequired"):
        seen = get_args(seen)[0]
    inside, before = seen, None
    while inside is not before and not _has_channel(inside):
        before, inside = inside, meant(inside)
        if qualifier(inside) is not None:
            inside = get_args(inside)[0]
        elif hasattr(inside, "__metadata__") and not _has_channel(inside):
            inside = inside.__origin__
    return inside is not seen and _has_channel(inside)


def _has_channel(hint: Any) -> bool:
    """Whether LangGraph takes a reducer or a channel from its marks, as `StateGraph` does."""
    marks: tuple[Any, ...] = getattr(hint, "__metadata__", ()) if get_origin(hint) is typing.Annotated else ()
    if any(hasattr(mark, "checkpoint") for mark in marks):
        return True
    return bool(marks) and _takes_two(marks[-1])


def _takes_two(mark: Any) -> bool:
    """Whether it can be a reducer: LangGraph calls one with what is there and what is new."""
    if not callable(mark):
        return False
    try:
        parameters = inspect.signature(mark).parameters.values()
    except (TypeError, ValueError):
        return False
    return sum(each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) for each in parameters) == 2


def _is_extension_typeddict(schema: Any) -> bool:
    return hasattr(schema, "__total__") and hasattr(schema, "__required_keys__")


def defaults_of(schema: Any) -> frozenset[str]:
    """The keys of a dataclass or pydantic class that have a default."""
    fields = getattr(schema, "model_fields", None)
    if isinstance(fields, Mapping):
        return frozenset(name for name, field in fields.items() if not field.is_required())
    if dataclasses.is_dataclass(schema):
        missing = dataclasses.MISSING
        return frozenset(
            f.name
            for f in dataclasses.fields(schema)
            if f.default is not missing or f.default_factory is not missing
        )
    return frozenset()


def optional_keys(schema: Any) -> frozenset[str]:
    """The keys of a class of which one may be missing: it has a default, or is `NotRequired` by its own word. A whole
    TypedDict of `total=False` says so of none: states are mostly written that way."""
    keys = schema_keys(schema) or {}
    return defaults_of(schema) | {key for key, hint in keys.items() if qualifier(hint) == "NotRequired"}


def _alternatives(hint: Any) -> tuple[Any, ...]:
    hint = meant(hint)
    if get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(part for arg in get_args(hint) for part in _alternatives(arg))
    if get_origin(hint) is typing.Annotated:
        return _alternatives(get_args(hint)[0])
    return (hint,)


def literal_targets(action: Any) -> tuple[tuple[Any, ...], bool] | None:
    """The answers a router's return type allows, and whether it may give several.

    None where the return type names none.
    """
    answers: list[Any] = []
    many = False
    for hint in _alternatives(hints_of(action).get("return")):
        if get_origin(hint) is Literal:
            answers += get_args(hint)
        elif get_origin(hint) in _MANY:
            for part in (p for arg in get_args(hint) for p in _alternatives(arg)):
                if get_origin(part) is Literal:
                    answers += get_args(part)
                    many = True
    return (tuple(dict.fromkeys(answers)), many) if answers else None


def returns_send(action: Any) -> bool:
    """Whether a router's return type has LangGraph's `Send` in it."""

    def mentions(hint: Any) -> bool:
        hint = meant(hint)
        name = getattr(hint, "__name__", "")
        module = getattr(hint, "__module__", "")
        if name == "Send" and module.startswith("langgraph"):
            return True
        return any(mentions(arg) for arg in get_args(hint))

    return mentions(hints_of(action).get("return"))


def command_targets(action: Any) -> tuple[str, ...]:
    """The destinations in a `Command[Literal[...]]` return type."""
    found: list[str] = []
    for hint in _alternatives(hints_of(action).get("return")):
        origin = get_origin(hint)
        if getattr(origin, "__name__", "") == "Command":
            for arg in get_args(hint):
                for part in _alternatives(arg):
                    if get_origin(part) is Literal:
                        found += get_args(part)
    return tuple(dict.fromkeys(found))


def narrower_keys(hint: Any, state: Mapping[str, Any], *schemas: Any) -> frozenset[str] | None:
    """The keys of an annotation that says more than the state does; None where it says nothing.

    `schemas` are the workflow's own (state, input, output): an annotation with one of those is not
    narrower, and neither is one with every key of the state.
    """
    keys: set[str] = set()
    said = False
    for part in _alternatives(hint):
        if part in (None, type(None)) or getattr(get_origin(part) or part, "__name__", "") == "Command":
            continue
        names = None if any(part is schema for schema in schemas) else schema_keys(part)
        if names is None:
            return None
        said = True
        keys |= set(names)
    if not said or set(state) <= keys:
        return None
    return frozenset(keys)


def type_name(hint: Any) -> str:
    """The name of a type: the same under every version of Python, and in every process.

    >>> type_name(typing.Optional[list[int]])
    'list[int] | None'
    """
    if isinstance(hint, type) and not get_args(hint):
        return hint.__name__
    return with_bars(str(hint).replace("typing.", ""))


def with_bars(name: str) -> str:
    """The name of a type with its unions written as Python 3.14 does, where `Union[int, None]` is `int | None`.

    Without what `Annotated` says beside a type: that is no part of it, and names the address of a function in
    LangChain's `AnyMessage`, which is another one in every process. And without the module of a class, as the name of
    a class alone is: a file that is run as a script is `__main__`, and has its own name where it is imported.

    >>> with_bars("dict[str, Union[int, Literal['Union['], NoneType]]")
    "dict[str, int | Literal['Union['] | None]"
    >>> with_bars("list[Annotated[Union[A, B], Field(by=<function kind at 0x7f01>, of=[1, 2])]]")
    'list[A | B]'
    >>> with_bars("dict[str, __main__.Item | app.make.<locals>.Item | Literal['app.Item', <Color.RED: 1>]]")
    "dict[str, Item | Item | Literal['app.Item', <Color.RED: 1>]]"
    """
    name = without_addresses(name)
    open_: list[tuple[str, list[str]]] = [("", [""])]  # what stands before each bracket, and its parts so far
    for token in _TOKENS.findall(name):
        parts = open_[-1][1]
        if token == "[":
            word = _LAST_WORD.search(parts[-1])
            before = word[0] if word else ""
            parts[-1] = parts[-1].removesuffix(before)
            open_.append((before, [""]))
        elif token == "]" and len(open_) > 1:
            before, parts = open_.pop()
            open_[-1][1][-1] += _bracketed(before, parts)
        elif token == ",":
            parts.append("")
        else:
            parts[-1] += token if token[0] in "'\"" else _MODULE.sub("", token)
    whole = ",".join(open_[0][1])
    return whole if len(open_) == 1 else name


def without_addresses(text: str) -> str:
    """A text without the addresses of objects in it, which are others in every process.

    >>> without_addresses("<object object at 0x7f01>")
    '<object object>'
    """
    return _ADDRESS.sub("", text)


def _bracketed(before: str, parts: list[str]) -> str:
    if before in ("Annotated", "typing.Annotated"):
        return parts[0].strip()
    if before not in ("Optional", "Union"):
        return f"{before}[{','.join(parts)}]"
    told = [*map(str.strip, parts), *(["None"] if before == "Optional" else [])]
    return " | ".join("None" if part == "NoneType" else part for part in told)
