"""planner_executor: in which order can modules of Python be loaded? What a module imports is weighed before it.

The plan is made from the modules' own source: each is a subtask that needs those it imports. `modules` counts the lines
of a module with all that it needs, `packages` of a package's own `__init__`. The actors are functions; with ``--model``
a model concludes.

    $ python examples/patterns/planner_executor.py
    weights: every run ends within 84 supersteps.
    This one took …
    unittest: … lines
    token: … lines
    …
    doctest: … lines
    The heaviest is doctest, with … lines.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import planner_executor

GIVEN: dict[str, Any] = {
    "request": "doctest pdb unittest inspect traceback linecache tokenize token keyword dis opcode textwrap "
    "difflib cmd code codeop bdb pprint reprlib"
}


def source(module: str) -> str:
    return inspect.getsource(importlib.import_module(module))


def imported(module: str) -> set[str]:
    """What a module imports at its top."""
    body = stage.parsed(source(module)).body
    names = {alias.name for node in body if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module for node in body if isinstance(node, ast.ImportFrom) and node.module}


def plan(state: Any) -> list[dict[str, Any]]:
    asked = state["request"].split()
    return [
        {
            "id": name,
            "kind": "packages" if hasattr(importlib.import_module(name), "__path__") else "modules",
            "task": name,
            "needs": sorted(imported(name) & set(asked) - {name}),
            "success": "it has lines",
        }
        for name in asked
    ]


def modules(state: Any) -> dict[str, Any]:
    """The lines of a module, and of all that it needs."""
    lines = {name: count for needed in state["inputs"].values() for name, count in needed["lines"].items()}
    return {"lines": {**lines, state["task"]: len(source(state["task"]).splitlines())}}


def packages(state: Any) -> dict[str, Any]:
    """The lines of a package's beginning."""
    return {"lines": {state["task"]: len(source(state["task"]).splitlines())}}


def weight(found: Any) -> int:
    return sum(found["result"]["lines"].values())


def verify(state: Any) -> list[dict[str, str]]:
    results = state["results"].items()
    return [{"id": name, "why": "no lines"} for name, found in results if not weight(found)]


def conclude(state: Any) -> str:
    lines = {name: weight(found) for name, found in state["results"].items()}
    heaviest = max(lines, key=lambda name: lines[name])
    return f"The heaviest is {heaviest}, with {lines[heaviest]} lines."


def flow(model: str | None = None) -> Workflow:
    return planner_executor(
        plan,
        [modules, packages],
        verify=verify,
        conclude=model or conclude,
        max_subtasks=20,
        replans=0,
        name="weights",
    )


def show(output: Mapping[str, Any]) -> Iterable[str]:
    for name, found in output["results"].items():
        yield f"{name}: {weight(found)} lines"
    yield str(output["answer"])


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
