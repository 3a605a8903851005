"""Whether a runtime context fits what the graph declares: LangGraph sees that only when the run has begun."""

from __future__ import annotations

import inspect
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from dalsegno.errors import InputInvalid, did_you_mean
from dalsegno.graphs.declarations import schema_keys
from dalsegno.nodes.secrets import Secrets

if TYPE_CHECKING:
    from dalsegno.runtime.runner import Runner

_PLAIN = (str, bytes, bool, int, float, list, tuple)
"""What is no context where one with keys is declared; an object with the right attributes is one."""


def fitting_context(runner: Runner, given: Any) -> Any:
    """The context as the nodes get it: a dictionary becomes the dataclass or pydantic class that was declared.

    Raises
    ------
    InputInvalid
        It has a key that the class does not have, lacks one, or a value does not fit.
    """
    schema = runner.graph.context_schema
    if given is None or not isinstance(schema, type):
        return given
    names = ", ".join(f"`{name}`" for name in schema_keys(schema) or ())
    if isinstance(given, _PLAIN) and names:
        raise InputInvalid(
            f"The context is {type(given).__name__}, and a mapping is expected: {names}.",
            key="context",
            expected="mapping",
        )
    if not isinstance(given, dict) or not (is_dataclass(schema) or issubclass(schema, BaseModel)):
        return given
    if is_dataclass(schema):
        _check_names(given, schema)
    try:
        return schema(**given)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        said = f"The context's `{at}` does not fit: {first['msg']}." if at else f"{first['msg']}."
    except Exception as error:  # what its own code says of it
        said = f"The context does not fit: {type(error).__name__}: {error}."
    secrets = Secrets(runner.schemas)
    secrets.learn(given)
    raise InputInvalid(
        f"{secrets.text(said)} `{schema.__name__}` has {names}.", key="context", expected=schema.__name__
    )


def _check_names(given: dict[Any, Any], schema: type) -> None:
    parameters = inspect.signature(schema).parameters.values()
    named = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for name in given:
            if name not in named:
                raise InputInvalid(
                    f"The context has the key `{name}`, which `{schema.__name__}` does not have"
                    f"{did_you_mean(str(name), named) or '.'} It has {', '.join(f'`{n}`' for n in named)}.",
                    key=str(name),
                    expected=schema.__name__,
                )
    for name, parameter in named.items():
        if name not in given and parameter.default is parameter.empty:
            raise InputInvalid(
                f"The context lacks the key `{name}` of `{schema.__name__}`.",
                key=name,
                expected=schema.__name__,
            )
