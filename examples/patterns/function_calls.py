"""function_calls: which of two modules of the library is longer, and by how many lines?

Five calls read the source of Python's own library: two find the files, side by side, two count their lines, and the
last compares what those gave. A function plans and a function answers; with ``--model`` a model does both.

    $ python examples/patterns/function_calls.py
    longer: every run ends within 12 supersteps.
    This one took 12.
    json.decoder has … lines, json.encoder …: the … is longer, by ….
    5 calls: 2 at once, then 2, then 1
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import stage

from dalsegno import Workflow
from dalsegno.graphs.patterns import function_calls

FIRST, SECOND = "json.decoder", "json.encoder"
GIVEN: dict[str, Any] = {"request": f"Which module is longer, {FIRST} or {SECOND}, and by how many lines?"}


def find_module(name: str) -> str:
    """The path of a module's source.

    Args:
        name: with dots, as it is imported
    """
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise LookupError(f"no module {name}")
    return spec.origin


def count_lines(path: str) -> int:
    """How many lines a file has."""
    return len(Path(path).read_text(encoding="utf-8").splitlines())


def difference(a: int, b: int) -> int:
    """The first number less the second."""
    return a - b


def plan(state: Any) -> dict[str, Any]:
    return {
        "calls": [
            {"id": "first", "function": "find_module", "arguments": {"name": FIRST}},
            {"id": "second", "function": "find_module", "arguments": {"name": SECOND}},
            {"id": "first_lines", "function": "count_lines", "arguments": {"path": "$first"}},
            {"id": "second_lines", "function": "count_lines", "arguments": {"path": "$second"}},
            {
                "id": "more",
                "function": "difference",
                "arguments": {"a": "$first_lines", "b": "$second_lines"},
            },
        ]
    }


def answer(state: Any) -> str:
    found = state["results"]
    longer = "first" if found["more"] > 0 else "second"
    counted = f"{FIRST} has {found['first_lines']} lines, {SECOND} {found['second_lines']}"
    return f"{counted}: the {longer} is longer, by {abs(found['more'])}."


def flow(model: str | None = None) -> Workflow:
    functions = [find_module, count_lines, difference]
    return function_calls(model or plan, functions, model or answer, max_depth=3, name="longer")


def show(output: Mapping[str, Any]) -> Iterable[str]:
    yield output["response"]
    calls = output["plan"]["calls"]
    depth: dict[str, int] = {}
    for call in calls:
        needs = [depth[other] for other in depth if f"${other}" in call["arguments"].values()]
        depth[call["id"]] = 1 + max(needs, default=0)
    levels = [list(depth.values()).count(level) for level in sorted(set(depth.values()))]
    yield f"{len(calls)} calls: {levels[0]} at once, then {', then '.join(map(str, levels[1:]))}"


if __name__ == "__main__":
    stage.play(flow, GIVEN, show)
