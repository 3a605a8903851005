"""A pattern, an agent and a runnable are tools of every pattern that has tools, with what was declared of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.runnables import RunnableLambda

from dalsegno import Runner, Workflow, agent, tool
from dalsegno.graphs.patterns import (
    Node,
    Peer,
    function_calls,
    peer_to_peer,
    react,
    sequential,
    tool_selection,
)
from dalsegno.testing import ScriptedChatModel


class Number(TypedDict):
    value: int


async def awaited(state: Any) -> int:
    await asyncio.sleep(0)
    return int(state["value"]) + 1


def direct(state: Any) -> int:
    return int(state["value"]) + 1


async def of_a_runnable(given: Number) -> dict[str, int]:
    return {"value": given["value"] + 1, "before": given["value"]}


def adder(step: Callable[..., Any]) -> Workflow:
    return sequential({"step": step}, name="adder")


TOOLS = {
    "sync": lambda: adder(direct),
    "async": lambda: adder(awaited),
    "runnable": lambda: RunnableLambda(of_a_runnable, name="adder"),
}


def said(state: Any) -> Any:
    if not state["messages"]:
        return {"name": "adder", "args": {"value": 1}}
    return state["messages"][-1].text


@pytest.mark.parametrize("kind", TOOLS)
@pytest.mark.parametrize("way", ["run", "arun"])
def test_what_it_gives_is_read_by_who_called_it(kind: str, way: str, tmp_path: Path) -> None:
    one = TOOLS[kind]()
    for number, flow in enumerate(
        (react(said, [one]), peer_to_peer({"a": Peer(said, tools=[one]), "b": said}))
    ):
        with Runner(flow, db=tmp_path / f"{number}.db") as runner:
            result: Any = getattr(runner, way)({"request": "?"}, thread="t")
            result = asyncio.run(result) if way == "arun" else result
        assert result.output["answer"].startswith('{"value":2,')


@pytest.mark.parametrize("kind", TOOLS)
@pytest.mark.parametrize("way", ["run", "arun"])
def test_what_it_gives_is_data_whose_parts_are_referred_to(kind: str, way: str, tmp_path: Path) -> None:
    def calls(state: Any) -> Any:
        second = {"value": "$first.value"}
        return {
            "calls": [
                {"id": "first", "function": "adder", "arguments": {"value": 1}},
                {"id": "second", "function": "adder", "arguments": second},
            ]
        }

    def steps(state: Any) -> Any:
        made = calls(state)["calls"]
        return {"steps": [{"tool": c.pop("function"), "why": "", **c} for c in made]}

    def respond(state: Any) -> Any:
        return state["results"]["second"]["value"]

    tools = {"adder": TOOLS[kind]()}
    for number, flow in enumerate(
        (function_calls(calls, tools, respond), tool_selection(steps, tools, respond))
    ):
        with Runner(flow, db=tmp_path / f"{number}.db") as runner:
            result: Any = getattr(runner, way)({"request": "?"}, thread="t")
            result = asyncio.run(result) if way == "arun" else result
        assert (result.status, result.output["response"]) == ("completed", 3)


def test_what_is_declared_of_a_tool_is_declared_of_its_node() -> None:
    def nothing(state: Any) -> dict[str, Any]:
        return {"calls": [], "steps": []}

    def pay(amount: int) -> int:
        return amount

    def answer(state: Any) -> str:
        return "done"

    quiet = {"calls": 0}
    asks = agent(ScriptedChatModel(["a"]), "Say {what}", name="asks")
    paid = tool(pay, calls=2, effect=True)
    for make, planner in ((function_calls, "planner"), (tool_selection, "selector")):
        last = "responder" if make is function_calls else "integrator"
        flow = make(nothing, {"asks": asks, "pay": paid}, answer, options={planner: quiet, last: quiet})
        nodes = flow.spec.nodes
        assert (nodes["asks"].calls, nodes["asks"].effect) == (1, False)
        assert (nodes["pay"].calls, nodes["pay"].effect, nodes["pay"].idempotent) == (2, True, False)
        certificate = flow.validate().certificate
        assert certificate is not None
        assert certificate.model_calls is not None
    for flow in (
        react(answer, [asks, paid], max_turns=2),
        peer_to_peer({"a": Peer(answer, tools=[paid]), "b": Peer(answer, tools=[asks])}, max_turns=2),
    ):
        act = flow.spec.nodes["act"]
        assert (act.effect, act.idempotent) == (True, False)
    harmless = tool(pay, effect=True, idempotent=True)
    act = react(Node(answer), [harmless]).spec.nodes["act"]
    assert (act.effect, act.idempotent) == (True, True)
