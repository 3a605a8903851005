"""The arguments of a tool as a pydantic model; what a call leaves out is left out."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, get_type_hints

import typing_extensions
from langchain_core.runnables import Runnable
from pydantic import BaseModel, Field, PlainSerializer, TypeAdapter, create_model

from dalsegno.errors import DefinitionError
from dalsegno.nodes.function_tools import check_names
from dalsegno.nodes.structured import modern


def model_of(schema: Any, name: str) -> type[BaseModel]:
    """The keys of a workflow's input as a pydantic model."""
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return schema
    keys = TypeAdapter(modern(schema)).json_schema()
    hints = get_type_hints(schema, include_extras=True)
    needed = keys.get("required", ())
    check_names(keys.get("properties", {}), name)
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


def input_of(runnable: Runnable[Any, Any], name: str) -> type[BaseModel] | None:
    """The named arguments of a runnable as a pydantic model; None where it takes none."""
    state = getattr(getattr(runnable, "builder", None), "input_schema", None)  # of a graph of LangGraph
    if state is not None:
        return model_of(state, name)
    function = getattr(runnable, "func", None) or getattr(runnable, "afunc", None)
    if function is not None:
        try:
            hints = get_type_hints(function)
        except NameError as error:
            raise DefinitionError(f"The types of the tool `{name}` cannot be read: {error}") from error
        taken = hints.get(next(iter(inspect.signature(function).parameters), ""))
        if typing_extensions.is_typeddict(taken) or hasattr(taken, "model_fields"):
            return model_of(taken, name)
    schema: Any = runnable.get_input_schema()
    if "root" not in schema.model_fields:
        return schema  # type: ignore[no-any-return]  # a pydantic model, whatever the runnable is
    taken = schema.model_fields["root"].annotation
    return (
        model_of(taken, name)
        if typing_extensions.is_typeddict(taken) or hasattr(taken, "model_fields")
        else None
    )


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
