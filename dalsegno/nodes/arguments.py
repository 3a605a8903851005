"""The arguments of a tool as a pydantic model; what a call leaves out is left out."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, Field, PlainSerializer, TypeAdapter, create_model

from dalsegno.nodes.structured import modern


def model_of(schema: Any, name: str) -> type[BaseModel]:
    """The keys of a workflow's input as a pydantic model."""
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return schema
    keys = TypeAdapter(modern(schema)).json_schema()
    hints = get_type_hints(schema, include_extras=True)
    needed = keys.get("required", ())
    fields: dict[str, Any] = {}
    for key in keys.get("properties", {}):
        hint = hints[key]
        while (
            getattr(hint, "__origin__", None) is not None
            and hint.__origin__.__class__.__name__ == "_SpecialForm"
        ):
            hint = hint.__args__[0]
        fields[key] = (modern(hint), ...) if key in needed else may_be_left_out(modern(hint))
    return create_model(name, **fields)


class _LeftOut(Enum):
    """What LangChain gives for an argument that a call leaves out: it is not in the state then, where None would be."""

    LEFT_OUT = "left out"


def _as_it_is(value: Any) -> Any:
    return value


def may_be_left_out(hint: Any) -> tuple[Any, Any]:
    """The type and the field of an argument that a call need not have."""
    # The serializer lets LangChain dump what is no value of the type.
    return Annotated[hint, PlainSerializer(_as_it_is)], Field(default_factory=lambda: _LeftOut.LEFT_OUT)


def given_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that a call has."""
    return {key: value for key, value in arguments.items() if not isinstance(value, _LeftOut)}
