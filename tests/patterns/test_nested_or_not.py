"""Every pattern in a role of every other one gives what a function in that role gives that answers the same."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, TypedDict, get_type_hints

import pytest
from pattern_case import Case, cases

from dalsegno import Runner, Workflow
from dalsegno.graphs.patterns import Node

CASES = cases()

SENT = {
    "supervisor": "task",
    "hierarchy": "task",
    "specialists": "task",
    "planner_executor": "task",
    "ab_test": "case",
    "recursive_decomposition": "problem",
}
"""Where the role reads nothing but what it is sent: the key of that."""

SEVERAL = {"parallel", "ensemble", "saga"}
"""Several answer under one key, by their names."""

ANSWERS = {node: answer for case in CASES.values() for node, answer in (case.answers or {}).items()}


def played_by(outer: Case, inner: Case, node: Node) -> tuple[Workflow, dict[str, Any]]:
    """The outer pattern with that node in its free role, and what it is given."""
    default = inspect.signature(outer.entry.make).parameters["state"].default
    own = {f"given_{key}": Any for key in inner.given}
    state = TypedDict("Nested", {**get_type_hints(default, include_extras=True), **own}, total=False)  # type: ignore[misc]
    assert outer.slot is not None
    name = outer.entry.name
    if name in SENT:
        (value,) = inner.given.values()
        given = {"cases": [value]} if name == "ab_test" else {"request": value}
    else:
        given = {f"given_{key}": value for key, value in inner.given.items()}
    return outer.slot(node, state), {**outer.slot_given, **given}


def output_of(flow: Workflow, given: dict[str, Any], *, is_async: bool = False) -> dict[str, Any]:
    async def run(runner: Runner) -> Any:
        result = await runner.arun(given, thread="t")
        while result.status == "interrupted":
            result = await runner.aresume("t", reply(result))
        return result

    def reply(result: Any) -> dict[str, Any]:
        return {i["id"]: ANSWERS[i["node"].rpartition("/")[2]] for i in result.interrupts}

    with Runner(flow, ":memory:") as runner:
        result = asyncio.run(run(runner)) if is_async else runner.run(given, thread="t")
        while result.status == "interrupted":
            result = runner.resume("t", reply(result))
    output = result.raise_for_status().output
    return {key: value for key, value in output.items() if not key.startswith("given_")}


@pytest.mark.torture
@pytest.mark.parametrize("name", [name for name in CASES if name != "choreography"])
def test_a_nested_pattern_gives_what_a_function_gives(name: str) -> None:
    outer = CASES[name]
    for place, inner in enumerate(CASES.values()):
        if name in SENT and len(inner.given) != 1:
            continue
        value = output_of(inner.flow(), dict(inner.given))[inner.gives]
        answer = {outer.slot_key: {"inner": value} if name in SEVERAL else value}
        inputs = {key: SENT.get(name, f"given_{key}") for key in inner.given}
        nested = Node(inner.flow(), name="inner", inputs=inputs, outputs={outer.slot_key: inner.gives})
        alone = Node(lambda state, answer=answer: answer, name="inner")
        found = output_of(*played_by(outer, inner, nested), is_async=bool(place % 2))
        assert found == output_of(*played_by(outer, inner, alone)), inner.entry.name
