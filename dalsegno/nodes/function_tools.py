"""Functions as LangChain tools, and the names that arguments of a tool may have."""

from __future__ import annotations

import functools
import inspect
import keyword
import typing
from collections.abc import Callable, Iterable, Set
from typing import Any, get_type_hints

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, create_schema_from_function

from dalsegno.errors import DefinitionError
from dalsegno.nodes.structured import modern

_KEPT = frozenset({"Config", "callbacks", "config", "model_config", "run_manager", "self"})


def of_function(function: Callable[..., Any], name: str | None, description: str | None) -> BaseTool:
    """A function, or an object that can be called, as a tool.

    Raises
    ------
    DefinitionError
        It has no name or no types that a model could be told, or takes arguments that no call can give.
    """
    name = name or str(getattr(function, "__name__", type(function).__name__))
    if name == "<lambda>":
        raise DefinitionError("A lambda has no name that a model could call: tool(function, name=...).")
    if isinstance(function, functools.partial):
        raise DefinitionError(
            f"The tool `{name}` is a partial, which has no types of its own: make it a function."
        )
    doc = inspect.getdoc(function) if inspect.isroutine(function) else None
    if not inspect.isroutine(function) and not inspect.isclass(function):
        function = getattr(function, "__call__")  # noqa: B004, B009 - LangChain reads no types of the object itself
        doc = function.__doc__
    _check_types(function, name)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DefinitionError(
            f"The tool `{name}` is a generator, and a call has one result: return a list of what it yields."
        )
    options: dict[str, Any] = {
        "name": name,
        "description": description or (None if doc else name.replace("_", " ")),
        "parse_docstring": description is None and doc is not None,
        "error_on_invalid_docstring": False,
        "args_schema": _arguments(function, name, described=description is None and doc is not None),
    }
    if inspect.iscoroutinefunction(function):
        return StructuredTool.from_function(coroutine=function, **options)
    return StructuredTool.from_function(function, **options)


def _arguments(function: Callable[..., Any], name: str, *, described: bool) -> Any:
    """The arguments of a function that takes a `TypedDict` which pydantic does not know; None for any other, whose
    types LangChain reads itself."""
    hints = get_type_hints(function, include_extras=True) if inspect.isroutine(function) else {}
    taken = {parameter: modern(hint) for parameter, hint in hints.items() if parameter != "return"}
    if all(hint is hints[parameter] for parameter, hint in taken.items()):
        return None

    @functools.wraps(function)
    def told(*args: Any, **kwargs: Any) -> None:
        """Is never called."""

    signature = inspect.signature(function)
    parameters = [p.replace(annotation=taken[name]) for name, p in signature.parameters.items()]
    told.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # read by `inspect`
    told.__annotations__ = taken
    own = [p for p in signature.parameters if _is_langchains(p, hints[p])]
    return create_schema_from_function(
        name, told, filter_args=["run_manager", "callbacks", *own], parse_docstring=described
    )


def _check_types(function: Callable[..., Any], name: str) -> None:
    called = function if inspect.isroutine(function) else type(function).__call__
    try:
        hints = get_type_hints(called)
        parameters = inspect.signature(function).parameters
    except (NameError, TypeError, ValueError) as error:
        raise DefinitionError(f"The types of the tool `{name}` cannot be read: {error}") from error
    untyped = [p for p in parameters if p not in hints]
    if untyped:
        raise DefinitionError(
            f"The tool `{name}` has no type for {', '.join(f'`{p}`' for p in untyped)}: its arguments are validated by "
            "them, and a model is told them."
        )
    alone = [p for p, each in parameters.items() if each.kind is each.POSITIONAL_ONLY]
    if alone:
        raise DefinitionError(
            f"The tool `{name}` takes `{alone[0]}` by its place only, and a call gives arguments by name."
        )
    many = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    if further := [p for p, each in parameters.items() if each.kind in many and p not in ("args", "kwargs")]:
        raise DefinitionError(
            f"The tool `{name}` takes whatever else is given as `{further[0]}`, and a model is told each argument by "
            "its name. Name them."
        )
    named = [p for p, each in parameters.items() if each.kind not in many and not _is_langchains(p, hints[p])]
    check_names(named, name, {"args", "kwargs"})


def _is_langchains(parameter: str, hint: Any) -> bool:
    """Whether LangChain itself gives a function what it asks for so."""
    if parameter == "config":
        return RunnableConfig in (typing.get_args(hint) or (hint,))
    return parameter in ("callbacks", "run_manager") and "Callback" in str(hint)


def check_names(names: Iterable[str], tool: str, more: Set[str] = frozenset()) -> None:
    """Refuse arguments that LangChain keeps for itself: a call would lose them, or fail."""
    for name in names:
        if (
            name not in _KEPT
            and name not in more
            and not name.startswith("_")
            and not keyword.iskeyword(name)
        ):
            continue
        raise DefinitionError(
            f"The tool `{tool}` takes an argument `{name}`, a name that LangChain keeps for itself. Give it another."
        )
