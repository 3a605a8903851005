"""The shape of an answer: the schema a model is given, and the validation of what it says."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

import typing_extensions
from langchain_core.messages import AIMessage
from langchain_core.utils.json_schema import dereference_refs
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import SchemaError

from dalsegno.errors import DefinitionError
from dalsegno.nodes.secrets import holds_secret

WRAPPED = "answer"
"""The one key of an answer that is no object: a `Literal`, a number, a list."""


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """What a model said: the message, and the data in it, or the problem with it."""

    message: AIMessage
    data: Any = None
    problem: str | None = None


class Output:
    """The shape of an answer.

    Parameters
    ----------
    type
        A pydantic model, a TypedDict, a dataclass, a `Literal`, or any other type that pydantic can validate. What
        is no object goes to the model as an object with the one key ``answer``.

    Raises
    ------
    DefinitionError
        Pydantic has no schema for it.
    """

    def __init__(self, type: Any) -> None:
        self.type = type
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(modern(type))
            schema = _whole(self._adapter.json_schema())
            own_names = _whole(self._adapter.json_schema(by_alias=False)).get("properties", ())
        except (PydanticUserError, SchemaError, NameError, TypeError, LookupError, SyntaxError) as error:
            raise DefinitionError(
                f"output={type!r}: pydantic cannot tell its JSON schema: {error}. Use a pydantic model, a TypedDict, a "
                "dataclass or a Literal."
            ) from error
        self.is_object = schema.get("type") == "object" and "properties" in schema
        if not self.is_object:
            schema = {"type": "object", "properties": {WRAPPED: schema}, "required": [WRAPPED]}
        own = type_name(type)
        self.name = re.sub(r"\W+", "_", own, flags=re.ASCII)[:64] or "Answer"
        schema["title"] = self.name
        schema.setdefault("description", _first_words(type) or "The answer.")
        self.schema: dict[str, Any] = schema
        self.fields: tuple[str, ...] = tuple(own_names) if self.is_object else ()

    def read(self, data: Any) -> Any:
        """The answer as a value of the type.

        Raises
        ------
        ValueError
            It does not fit; the message says where, one line each, for the model to read.
        """
        if not self.is_object:
            if not isinstance(data, Mapping) or WRAPPED not in data:
                raise ValueError(f"`{WRAPPED}` is missing: {_found(data)}")
            data = data[WRAPPED]
        try:
            return self._adapter.validate_json(json.dumps(data))
        except ValidationError as error:
            raise ValueError(problems(error, self.type)) from None
        except TypeError as error:
            raise ValueError(str(error)) from None

    def said(self, answer: Mapping[str, Any]) -> Said:
        """What a model's ``with_structured_output(..., include_raw=True)`` gave."""
        message, error = answer["raw"], answer.get("parsing_error")
        if answer.get("parsed") is not None:
            return Said(message, answer["parsed"])
        if message.invalid_tool_calls:
            call = message.invalid_tool_calls[0]
            return Said(message, problem=f"the arguments are not JSON: {call['error'] or call['args']}")
        why = f"it cannot be read: {_line(error)}" if error else f"it is no call of `{self.name}` and no JSON"
        return Said(message, problem=why)

    def part(self, value: Any, field: str) -> Any:
        """One field of an answer."""
        return value[field] if isinstance(value, Mapping) else getattr(value, field)

    def parts(self, value: Any) -> dict[str, Any]:
        """Every field of an answer; of a TypedDict those that were answered."""
        if isinstance(value, Mapping):
            return dict(value)
        return {field: getattr(value, field) for field in self.fields}


def problems(error: ValidationError, type: Any = None) -> str:
    """A failed validation in words: one line a field, with what was found there, where the `type` holds no secret."""
    lines, shows = [], not holds_secret(type)
    for each in error.errors(include_url=False, include_context=False):
        where = ".".join(map(str, each["loc"]))
        lines.append(f"{f'`{where}`: ' if where else ''}{each['msg']}{_given(each) if shows else ''}")
    return "\n".join(lines)


def modern(hint: Any) -> Any:
    """A type with `typing.TypedDict`s made `typing_extensions`' own, which pydantic needs before Python 3.12.

    They are found in one another too, and may hold themselves, as a tree does.
    """
    if sys.version_info >= (3, 12):
        return hint
    return _modern(hint, {})


def _modern(hint: Any, made: dict[Any, Any]) -> Any:
    if typing_extensions.is_typeddict(hint):
        if hint not in made:
            made[hint] = _made(hint, made) if _reaches_an_old_one(hint, set()) else hint
        return made[hint]
    origin, args = get_origin(hint), get_args(hint)
    if not args or origin is typing.Literal:
        return hint
    if origin is typing.Annotated:
        return typing.Annotated[(_modern(args[0], made), *hint.__metadata__)]
    inner = tuple(_modern(arg, made) if not isinstance(arg, list) else arg for arg in args)
    if all(new is old for new, old in zip(inner, args, strict=True)):
        return hint
    return Union[inner] if origin in (Union, types.UnionType) else origin[inner]  # noqa: UP007


def _made(hint: Any, made: dict[Any, Any]) -> Any:
    make: Any = typing_extensions.TypedDict
    new = made[hint] = make(hint.__name__, {})  # its keys may lead back to it, so they come when it is there
    keys: dict[str, Any] = {}
    required = set(hint.__required_keys__)
    for name, each in get_type_hints(hint, include_extras=True).items():
        while (said := get_origin(each)) in (typing.Required, typing.NotRequired):
            # A module whose annotations are texts keeps this from the class, which goes by its `total` alone.
            (required.add if said is typing.Required else required.discard)(name)
            each = get_args(each)[0]
        wrap = typing_extensions.Required if name in required else typing_extensions.NotRequired
        keys[name] = wrap[_modern(each, made)]
    new.__annotations__ = keys
    new.__required_keys__, new.__optional_keys__ = frozenset(required), frozenset(keys.keys() - required)
    new.__doc__, new.__module__ = hint.__doc__, hint.__module__
    return new


def _reaches_an_old_one(hint: Any, seen: set[Any]) -> bool:
    if not typing_extensions.is_typeddict(hint):
        return any(_reaches_an_old_one(arg, seen) for arg in get_args(hint))
    if type_(hint).__module__ != "typing_extensions":
        return True
    if hint in seen:
        return False
    seen.add(hint)
    try:
        hints = get_type_hints(hint, include_extras=True)
    except NameError:  # for pydantic to resolve, or to say what is missing
        return False
    return any(_reaches_an_old_one(each, seen) for each in hints.values())


type_ = type


def type_name(type: Any) -> str:
    """The name of a class; of any other type ``"Answer"``."""
    return type.__name__ if isinstance(type, type_) else "Answer"


def _whole(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with what it refers to in its place: not every provider follows references."""
    if "$defs" not in schema:
        return schema
    return {key: value for key, value in dereference_refs(schema).items() if key != "$defs"}


def _first_words(type: Any) -> str:
    own = type.__dict__.get("__doc__") if isinstance(type, type_) else None
    if not own or (dataclasses.is_dataclass(type) and own.startswith(f"{type_name(type)}(")):
        return ""
    return inspect.cleandoc(own).split("\n\n")[0] if type is not BaseModel else ""


def _given(error: Any) -> str:
    if error["type"] == "missing":
        return ""
    return f" (it is {_found(error['input'])})"


def _found(value: Any) -> str:
    shown = json.dumps(value, default=str, ensure_ascii=False)
    return shown if len(shown) <= 200 else f"{shown[:200]}…"


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 500 else f"{text[:500]}…"
