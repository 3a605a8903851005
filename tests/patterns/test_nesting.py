"""Every pattern plays a role in every other one: certified without a finding, and run where the types allow."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, TypedDict, get_type_hints

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pattern_case import Case, cases

from dalsegno.errors import WrongAnswer
from dalsegno.graphs.patterns import Node
from dalsegno.graphs.workflow import Workflow

CASES = cases()

SENT_TO = {"ab_test", "recursive_decomposition"}
"""The role reads what it is sent, and nothing else of the state: it has no key for what the inner one needs."""


def nested(outer: Case, inner: Case) -> Workflow:
    """The outer pattern with the inner one in its free role; what the inner one is given stands in keys of its own."""
    default = inspect.signature(outer.entry.make).parameters["state"].default
    own = {f"given_{key}": Any for key in inner.given}
    state = TypedDict("Nested", {**get_type_hints(default, include_extras=True), **own}, total=False)  # type: ignore[misc]
    inputs = {key: f"given_{key}" for key in inner.given}
    node = Node(inner.flow(), name="inner", inputs=inputs, outputs={outer.slot_key: inner.gives})
    assert outer.slot is not None, outer.no_slot
    return outer.slot(node, state)


async def run(flow: Workflow, given: dict[str, Any], answers: dict[str, Any]) -> dict[str, Any]:
    graph = flow.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    output: dict[str, Any] = await graph.ainvoke(given, config)
    for _ in range(5):
        if "__interrupt__" not in output:
            break
        (answer,) = answers.values()
        output = await graph.ainvoke(Command(resume={i.id: answer for i in output["__interrupt__"]}), config)
    assert "__interrupt__" not in output
    return output


@pytest.mark.parametrize("name", CASES)
def test_every_pattern_fits_into_this_one(name: str) -> None:
    outer = CASES[name]
    ran = 0
    for inner in CASES.values():
        flow = nested(outer, inner)
        report = flow.validate()
        assert report.findings == (), f"{inner.entry.name} in {name}"
        certificate = report.certificate
        assert certificate is not None
        assert certificate.supersteps is not None
        assert certificate.supersteps > inner.bound()
        if name in SENT_TO:
            continue
        given = {**outer.slot_given, **{f"given_{key}": value for key, value in inner.given.items()}}
        try:
            asyncio.run(run(flow, given, {**(outer.answers or {}), **(inner.answers or {})}))
        except WrongAnswer:
            continue  # the role is for another type: it is refused by name
        ran += 1
    assert ran >= len(CASES) - 1 or name in SENT_TO
