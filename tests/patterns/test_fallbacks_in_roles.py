"""A fallback of a role answers as the role does: its answer is checked, and goes where the role's goes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda

from dalsegno import Fallback, Runner, Workflow, agent
from dalsegno.errors import DefinitionError
from dalsegno.graphs.patterns import (
    Node,
    chain_of_thought,
    function_calls,
    generate_critique_revise,
    map_reduce,
    parallel,
    sequential,
    tool_selection,
)
from dalsegno.runtime import RunResult
from dalsegno.testing import ScriptedChatModel


def down(state: Any) -> str:
    raise ConnectionError("no network")


def plain(state: Any) -> str:
    return "stood in"


async def in_a_loop(state: Any) -> str:
    return "stood in"


def ran(flow: Workflow, given: dict[str, Any], *, is_async: bool = False) -> RunResult:
    with Runner(flow, ":memory:") as runner:
        return asyncio.run(runner.arun(given)) if is_async else runner.run(given)


@pytest.mark.parametrize(
    "other",
    [
        plain,
        in_a_loop,
        "stood in",
        RunnableLambda(plain),
        Fallback(down, "stood in"),
        agent(ScriptedChatModel([AIMessage("stood in")] * 4), "Say it."),
    ],
    ids=["function", "coroutine", "constant", "runnable", "second", "agent"],
)
def test_whoever_stands_in_gives_an_answer_of_the_role(other: Any) -> None:
    node = Node(down, fallback=other)
    assert ran(sequential([node]), {"value": 1}).output["value"] == "stood in"
    assert ran(parallel([node]), {"value": 1}).output["results"] == {"down": "stood in"}
    assert ran(map_reduce(node), {"items": [1]}, is_async=True).output["results"] == ["stood in"]
    inner = Node(sequential([down]), name="inner", outputs={"results": "value"}, fallback=other)
    assert ran(parallel([inner]), {"value": 1}).output["results"] == {"inner": "stood in"}


def test_an_answer_that_is_none_of_the_role_is_refused() -> None:
    flow = generate_critique_revise(plain, Node(down, fallback=plain), plain)
    error = ran(flow, {"request": "rain"}).error
    assert error is not None
    assert error["type"] == "WrongAnswer"
    assert "`critic` of the pattern `generate_critique_revise` answered 'stood in'" in error["message"]
    with pytest.raises(
        DefinitionError, match="the fallback 'good' of `critic` is not an answer that it may give"
    ):
        generate_critique_revise(plain, Node(down, fallback="good"), plain)


def test_an_update_of_another_key_does_not_pass_for_an_answer() -> None:
    with pytest.raises(DefinitionError, match="It updates `request`, not `answer`"):
        chain_of_thought(plain, down, options={"answer": {"fallback": {"request": "?"}}})


def weather(city: str) -> str:
    """The weather there."""
    raise ConnectionError(city)


def of_yesterday(city: str) -> str:
    """The weather there, yesterday."""
    return f"rain in {city}"


async def asked_elsewhere(city: str) -> str:
    """The weather there."""
    return f"rain in {city}"


@pytest.mark.parametrize("other", [of_yesterday, asked_elsewhere, "rain in Rome"])
def test_a_fallback_of_a_tool_is_another_tool_or_its_result(other: Any) -> None:
    call = {"id": "a", "arguments": {"city": "Rome"}}
    called = function_calls(
        lambda state: {"calls": [{**call, "function": "weather"}]},
        [Node(weather, fallback=other)],
        lambda state: state["results"]["a"],
    )
    assert ran(called, {"request": "?"}).output["response"] == "rain in Rome"
    selected = tool_selection(
        lambda state: {"steps": [{**call, "tool": "weather", "why": ""}]},
        [weather],
        lambda state: state["results"]["a"],
        options={"weather": {"fallback": other}},
    )
    assert ran(selected, {"request": "?"}).output["response"] == "rain in Rome"
