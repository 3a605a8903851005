"""Functions that a plan names: as nodes that are sent their arguments, described to models, referring to results."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from dalsegno.errors import DefinitionError, did_you_mean
from dalsegno.graphs.patterns.casting import excerpt
from dalsegno.graphs.patterns.roles import Cast, Node, Role, named
from dalsegno.nodes.policies.fallback import is_called, name_of
from dalsegno.nodes.results import data_of
from dalsegno.nodes.tooling import (
    arguments_of,
    as_tool,
    data_in,
    declared_of,
    is_async_only,
    request_of,
    required_of,
)

_REFERENCE = re.compile(r"\$([^\W\d][\w-]*)((?:\.[\w-]+)*)\Z")


class Toolset:
    """The tools of a pattern, by the names of their nodes.

    A tool is what an agent takes for one: a typed function, a LangChain tool, a player, a workflow.

    Raises
    ------
    DefinitionError
        There is none, one has no types, or two have one name.
    """

    def __init__(self, pattern: str, given: Any) -> None:
        self.nodes: dict[str, Node] = named(pattern, given, what="tool")
        try:
            self.tools = {
                name: as_tool(node.actor, name=name, result=data_of) for name, node in self.nodes.items()
            }
        except (TypeError, ValueError) as error:
            raise DefinitionError(f"{pattern}: one of its tools cannot be read: {error}") from error

    def describe(self) -> str:
        """The tools as a model is told them, in a prompt where a brace is written twice."""
        lines = []
        for name, tool in self.tools.items():
            taken = ", ".join(f"{key}: {said.get('type', 'any')}" for key, said in tool.args.items())
            lines.append(f"- {name}({taken}): {' '.join(tool.description.split())}")
        return "\n".join(lines).replace("{", "{{").replace("}", "}}")

    def problem(self, tool: str, arguments: Mapping[str, Any]) -> str | None:
        """Why that cannot be called so, whatever the references turn out to be; None where it can."""
        if tool not in self.tools:
            known = ", ".join(f"`{name}`" for name in self.tools)
            return f"there is no `{tool}`{did_you_mean(tool, self.tools) or '.'} There are {known}"
        known_arguments = arguments_of(self.tools[tool])
        missing = [key for key in required_of(self.tools[tool]) if key not in arguments]
        unknown = [key for key in arguments if known_arguments is not None and key not in known_arguments]
        if missing:
            return f"`{tool}` needs {', '.join(f'`{key}`' for key in missing)}"
        if unknown and known_arguments is not None:
            return f"`{tool}` takes no `{unknown[0]}`{did_you_mean(unknown[0], known_arguments)}"
        return None

    @staticmethod
    def sent(call: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
        """What a tool's node is sent for a call: its arguments, and the results that they refer to."""
        wanted = references(call["arguments"])
        return {
            "id": call["id"],
            "arguments": call["arguments"],
            "results": {name: results[name] for name in wanted if name in results},
        }

    def add(self, cast: Cast, name: str, *, on_failure: Any = None) -> None:
        """Add a tool's node, to which `sent` is sent; its result is that item of ``results``."""
        tool, node = self.tools[name], self.nodes[name]
        said = declared_of(tool)
        player = Node(_calling(tool), **{**said, **node.options})
        cast.add(
            Role(name=name),
            player,
            on_failure=on_failure,
            standing=partial(_stand_in, tool=name),
            reads=(),
            writes=("results",),
        )


def _calling(tool: Any) -> Any:
    """A tool as a function of what is sent to its node."""

    def call(sent: Any) -> dict[str, Any]:
        request = request_of(tool, filled(sent["arguments"], sent["results"]))
        return {"results": {sent["id"]: data_in(tool, tool.invoke(request))}}

    async def acall(sent: Any) -> dict[str, Any]:
        request = request_of(tool, filled(sent["arguments"], sent["results"]))
        return {"results": {sent["id"]: data_in(tool, await tool.ainvoke(request))}}

    return acall if is_async_only(tool) else call


def _stand_in(other: Any, tool: str) -> Any:
    """A fallback of a tool: another one, which is given the same arguments, or its result."""
    if is_called(other):
        stand_in = _calling(as_tool(other, name=tool, result=data_of))
    else:

        def stand_in(sent: Any) -> dict[str, Any]:
            return {"results": {sent["id"]: copy.deepcopy(other)}}

    stand_in.__name__ = name_of(other)
    return stand_in


def references(arguments: Any) -> set[str]:
    """The calls whose results are referred to: ``"$paris"``, ``"$paris.temperature"``, anywhere in the arguments.

    >>> sorted(references({"a": "$x", "b": ["$y.0.name", "$5"], "c": "$$x"}))
    ['x', 'y']
    """
    if isinstance(arguments, str):
        found = _REFERENCE.match(arguments)
        return {found[1]} if found else set()
    return {name for part in _parts(arguments) for name in references(part)}


def misread(arguments: Any, ids: Iterable[str]) -> str | None:
    """Why a text that seems to refer to one of the calls would not be read so; None where there is none.

    >>> misread({"a": "$2.low", "b": "$5", "c": "$x.low"}, ["2", "x"])
    '`$2.low` does not refer to the call `2`: an id begins with a letter and has letters, digits, _ and - only'
    """
    if not isinstance(arguments, str):
        found = (misread(part, ids) for part in _parts(arguments))
        return next((why for why in found if why is not None), None)
    read = _REFERENCE.match(arguments)
    for name in ids:
        if f"{arguments}.".startswith(f"${name}.") and (read is None or len(read[1]) < len(name)):
            return (
                f"`{arguments}` does not refer to the call `{name}`: an id begins with a letter and has letters, "
                "digits, _ and - only"
            )
    return None


def filled(arguments: Any, results: Mapping[str, Any]) -> Any:
    """Arguments with results in the place of references; ``"$$x"`` is the text ``"$x"``.

    Raises
    ------
    LookupError
        There is no such result, or it has no such part.

    >>> filled({"a": "$x.low", "b": "$$x", "c": ["$y"]}, {"x": {"low": 3}, "y": 4})
    {'a': 3, 'b': '$x', 'c': [4]}
    """
    if isinstance(arguments, Mapping):
        return {key: filled(value, results) for key, value in arguments.items()}
    if isinstance(arguments, list | tuple):
        return [filled(value, results) for value in arguments]
    if not isinstance(arguments, str) or not arguments.startswith("$"):
        return arguments
    if arguments.startswith("$$"):
        return arguments[1:]
    found = _REFERENCE.match(arguments)
    if found is None:
        return arguments
    if found[1] not in results:
        raise LookupError(f"`{arguments}` refers to the result of `{found[1]}`, and there is none.")
    return _part(arguments, results[found[1]], found[2].split(".")[1:])


def _part(reference: str, value: Any, path: Iterable[str]) -> Any:
    for key in path:
        try:
            if isinstance(value, Mapping):
                value = value[key]
            elif isinstance(value, list | tuple):
                value = value[int(key)]
            else:
                value = getattr(value, key) if not key.startswith("_") else value[key]
        except (LookupError, TypeError, ValueError, AttributeError):
            raise LookupError(
                f"`{reference}` refers to `{key}`, which {excerpt(value)} does not have."
            ) from None
    return value


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else ()
