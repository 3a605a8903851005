"""A router may send to several nodes in one decision; all of it is counted."""

from __future__ import annotations

import importlib.util
import operator
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.types import Send

from dalsegno import END, START, Each, Workflow, validate

HAS_SCIPY = importlib.util.find_spec("scipy") is not None
exactly = pytest.param(
    True, marks=pytest.mark.skipif(not HAS_SCIPY, reason="the extra `exact` is not installed")
)


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


class Plain(TypedDict, total=False):
    x: int
    y: int


class OnlyX(TypedDict):
    x: int


def sending(state: Any, node: Any, most: tuple[int, int]) -> Workflow:
    def send(state: Any) -> list[Send]:
        return [Send(name, {}) for name, times in zip("ab", most, strict=True) for _ in range(times)]

    flow = Workflow("sending", state).add_node("a", node).add_node("b", node)
    flow.add_conditional_edges(START, send, [Each("a", max=most[0]), Each("b", max=most[1])])
    return flow.add_edge("a", END).add_edge("b", END)


def append(argument: Any) -> dict[str, Any]:
    return {"log": ["done"]}


def write(argument: Any) -> OnlyX:
    return {"x": 1}


@pytest.mark.parametrize("most", [(1, 1), (2, 1), (1, 2), (2, 2)])
@pytest.mark.parametrize("exact", [False, exactly])
def test_everything_that_is_sent_is_counted(most: tuple[int, int], exact: bool) -> None:
    flow = sending(Log, append, most)
    certificate = validate(flow, exact=exact).certificate
    assert certificate is not None
    assert (certificate.supersteps, certificate.executions) == (1, sum(most))
    assert len(flow.compile().invoke({"log": []})["log"]) == sum(most)


def test_two_nodes_that_are_sent_to_at_once_may_not_write_the_same_key() -> None:
    codes = [finding.code for finding in sending(Plain, write, (1, 1)).validate().findings]
    assert codes == ["D301"]
