"""A scripted model stands where a model stands: in agents, in workflow nodes, in runs that are killed."""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import HumanMessage, ToolMessage
from pydantic import BaseModel

from dalsegno import END, START, Each, Loop, Runner, Workflow
from dalsegno.errors import ScriptNotFollowed
from dalsegno.testing import Reply, ScriptedChatModel, crash_test

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from langgraph.prebuilt import create_react_agent


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Sum(BaseModel):
    """The sum."""

    total: int


def react(model: ScriptedChatModel) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return create_react_agent(model, [add])


def agent(model: ScriptedChatModel) -> Any:
    return create_agent(model, [add])


QUESTION = {"messages": [HumanMessage("What is 2 + 3?")]}


@pytest.mark.parametrize("make", [react, agent])
@pytest.mark.parametrize("wait", [False, True], ids=["sync", "async"])
def test_an_agent_calls_its_tool_and_answers(make: Any, wait: bool) -> None:
    handler = UsageMetadataCallbackHandler()
    script = [
        Reply({"name": "add", "args": {"a": 2, "b": 3}}, expect="2 + 3", usage=(10, 5)),
        Reply("It is 5.", expect=lambda messages: messages[-1].text == "5", usage=(20, 3)),
    ]
    with ScriptedChatModel(script) as model:
        graph = make(model)
        config = {"callbacks": [handler]}
        result = asyncio.run(graph.ainvoke(QUESTION, config)) if wait else graph.invoke(QUESTION, config)
    assert result["messages"][-1].text == "It is 5."
    assert [call.tool_names for call in model.calls] == [("add",), ("add",)]
    assert handler.usage_metadata["scripted"]["total_tokens"] == 38


def test_parallel_tool_calls_are_both_answered() -> None:
    calls = [{"name": "add", "args": {"a": 1, "b": 1}}, {"name": "add", "args": {"a": 2, "b": 2}}]
    with ScriptedChatModel([calls, "Both."]) as model:
        result = agent(model).invoke(QUESTION)
    assert [m.text for m in result["messages"] if isinstance(m, ToolMessage)] == ["2", "4"]


def test_an_agent_that_meets_a_bad_call_tells_the_model() -> None:
    """With check=False the hallucinated tool reaches the agent, whose own answer can then be expected."""
    script = [
        Reply({"name": "subtract", "args": {}}, check=False),
        Reply("Sorry.", expect="subtract is not a valid tool"),
    ]
    with ScriptedChatModel(script) as model:
        assert agent(model).invoke(QUESTION)["messages"][-1].text == "Sorry."


@pytest.mark.parametrize("strategy", [ToolStrategy(Sum), ProviderStrategy(Sum)], ids=["tool", "provider"])
def test_an_agents_structured_response_is_data_in_the_script(strategy: Any) -> None:
    with ScriptedChatModel([Sum(total=5)]) as model:
        graph = create_agent(model, [], response_format=strategy)
        assert graph.invoke(QUESTION)["structured_response"] == Sum(total=5)


def test_tokens_are_streamed_out_of_the_graph() -> None:
    with ScriptedChatModel(["It is five."]) as model:
        tokens = [message.content for message, _ in agent(model).stream(QUESTION, stream_mode="messages")]
    assert tokens[:3] == ["It ", "is ", "five."]


class State(TypedDict, total=False):
    topic: str
    draft: str
    verdict: str
    parts: list[str]


def writing(model: Any) -> Workflow:
    def write(state: State) -> dict[str, Any]:
        return {"draft": str(model.invoke(f"Write about {state['topic']}.").text)}

    async def review(state: State) -> dict[str, Any]:
        return {"verdict": str((await model.ainvoke(f"Review: {state['draft']}")).text)}

    flow = Workflow("writing", State).add_node("write", write).add_node("review", review)
    flow.add_edge(START, "write").add_edge("write", "review")
    return flow.add_conditional_edges(
        "review",
        lambda state: state["verdict"],
        {"good": END, "again": Loop("write", max=3, on_exhausted=END)},
    )


def test_a_workflows_nodes_call_the_model_as_the_script_says(tmp_path: Path) -> None:
    script = [
        Reply("Rain.", expect="about rain"),
        Reply("again", expect="Review: Rain."),
        "Rain falls.",
        Reply("good", expect="Review: Rain falls."),
    ]
    with ScriptedChatModel(script) as model, Runner(writing(model), db=tmp_path / "runs.db") as runner:
        result = runner.run({"topic": "rain"}, thread="t")
    assert result.status == "completed"
    assert result.output["draft"] == "Rain falls."


def test_a_run_that_calls_too_often_fails_with_the_reason(tmp_path: Path) -> None:
    model = ScriptedChatModel(["Rain.", "again"])
    with Runner(writing(model), db=tmp_path / "runs.db") as runner:
        result = runner.run({"topic": "rain"}, thread="t")
    assert result.status == "failed"
    assert "Call 3 of the model: the script is exhausted" in str(result.error)
    with pytest.raises(ScriptNotFollowed, match="Write about rain"):
        model.assert_done()


def test_a_fan_outs_branches_find_their_answers_by_what_they_ask() -> None:
    class Parts(TypedDict, total=False):
        part: str

    from langgraph.types import Send

    topics = ["rain", "wind", "snow", "hail"]
    model = ScriptedChatModel(
        [Reply(topic.upper(), expect=topic) for topic in reversed(topics)], ordered=False
    )
    answers: dict[str, str] = {}

    async def work(state: Parts) -> None:
        answers[state["part"]] = str((await model.ainvoke(state["part"])).text)

    flow = Workflow("fan", Parts).add_node("deal", lambda state: None).add_node("work", work)
    flow.add_edge(START, "deal").add_edge("work", END)
    flow.add_conditional_edges(
        "deal", lambda state: [Send("work", {"part": topic}) for topic in topics], [Each("work", max=9)]
    )
    asyncio.run(flow.compile().ainvoke({}))
    assert answers == {topic: topic.upper() for topic in topics}
    model.assert_done()


def test_a_model_without_a_memory_answers_the_same_in_a_run_that_is_killed_and_resumed() -> None:
    model = ScriptedChatModel([], then=lambda messages: "good" if "Review" in messages[-1].text else "Rain.")
    crash_test(writing(model), {"topic": "rain"}, at=[2, 3]).raise_for_failures()
