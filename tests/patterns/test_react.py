"""Pattern 9: what it does with tools that fail, with models, and when the turns are spent."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.types import interrupt

from dalsegno import Runner
from dalsegno.errors import DefinitionError
from dalsegno.graphs.patterns import react
from dalsegno.nodes.agent import agent
from dalsegno.testing import Reply, ScriptedChatModel


def weather(place: str) -> str:
    """The weather at a place."""
    if place != "Rome":
        raise LookupError(f"nothing is known of {place}")
    return "sunny"


def call(place: str) -> dict[str, Any]:
    return {"name": "weather", "args": {"place": place}}


def test_a_model_that_calls_a_tool_wrongly_reads_why_and_corrects_itself() -> None:
    with ScriptedChatModel(
        [
            Reply(call("Roma"), expect="How is Rome?"),
            Reply(call("Rome"), expect="LookupError: nothing is known of Roma"),
            Reply("It is sunny.", expect="sunny"),
        ]
    ) as model:
        flow = react(model, [weather])
        output = flow.compile().invoke({"request": "How is Rome?"})
    assert output["answer"] == "It is sunny."
    assert [message.type for message in output["messages"]] == ["ai", "tool", "ai", "tool", "ai"]
    assert output["messages"][1].status == "error"


def test_in_the_last_turn_a_model_is_told_to_answer() -> None:
    with ScriptedChatModel([call("Rome"), Reply("Sunny, I think.", expect="No tool can be called")]) as model:
        flow = react(model, [weather], max_turns=2)
        output = asyncio.run(flow.compile().ainvoke({"request": "Rome"}))
    assert output["outcome"] == "answered"
    assert model.calls[1].kwargs["tool_choice"] == "none"


def test_model_calls_are_certified_turn_by_turn() -> None:
    certificate = react(ScriptedChatModel([""]), [weather], max_turns=5).validate().certificate
    assert certificate is not None
    assert certificate.model_calls == 5


def test_an_agent_brings_its_own_prompt() -> None:
    with ScriptedChatModel([Reply("Yes.", expect="As a sailor: rain")]) as model:
        flow = react(agent(model, "As a sailor: {request}"), [weather])
        assert flow.compile().invoke({"request": "rain"})["answer"] == "Yes."


def test_a_prompt_that_brings_the_messages_itself_is_not_followed_by_them_again() -> None:
    def trimmed(state: Any) -> Any:
        return [HumanMessage(state["request"]), *state["messages"][-2:]]

    script = [call("Oslo"), Reply(call("Rome"), expect="nothing is known"), Reply("Sun.", expect="sunny")]
    with ScriptedChatModel(script) as model:
        flow = react(agent(model, trimmed), [weather])
        assert flow.compile().invoke({"request": "How is it?"})["answer"] == "Sun."
    assert [len(asked.messages) for asked in model.calls] == [1, 3, 3]


def test_a_changed_prompt_or_tool_is_noticed() -> None:
    def code(prompt: Any, *tools: Any) -> Any:
        return react(agent(ScriptedChatModel([]), prompt), tools).spec.nodes["reason"].code

    def other(place: str) -> str:
        return place

    assert code("a", weather) == code("a", weather)
    assert len({code("a", weather), code("b", weather), code("a", other)}) == 3


def test_calls_side_by_side_are_answered_in_their_order() -> None:
    def reason(state: Any) -> Any:
        return state["messages"][1:] if state["messages"] else [call("Rome"), call("Oslo")]

    results = react(reason, [weather]).compile().invoke({"request": ""})["answer"]
    assert [result.status for result in results] == ["success", "error"]


def test_calls_beyond_the_most_are_told_so() -> None:
    def reason(state: Any) -> Any:
        return state["messages"][1:] if state["messages"] else [call("Rome")] * 3

    results = react(reason, [weather], max_calls=2).compile().invoke({"request": ""})["answer"]
    assert [result.text for result in results][-1].startswith("Not called: 2 calls can be made at once")


def test_a_call_that_is_not_json_goes_back_to_the_model() -> None:
    broken = AIMessage(
        "", invalid_tool_calls=[{"name": "weather", "args": "{", "id": "1", "error": None, "type": "invalid_tool_call"}]
    )  # fmt: skip
    with ScriptedChatModel([Reply(broken, check=False), Reply("Well.", expect="are not JSON")]) as model:
        assert react(model, [weather]).compile().invoke({"request": ""})["answer"] == "Well."


def test_each_question_of_calls_side_by_side_gets_its_own_answer(tmp_path: Path) -> None:
    async def ask(place: str) -> str:
        if place == "Rome":
            await asyncio.sleep(0.02)  # the first call asks last
        return f"{place}: {interrupt(place)}"

    def reason(state: Any) -> Any:
        return (
            state["messages"][1:]
            if state["messages"]
            else [{**call(city), "name": "ask"} for city in ("Rome", "Oslo")]
        )

    flow = react(reason, [ask], options={"act": {"interrupts": 2}})
    with Runner(flow, db=tmp_path / "r.db") as runner:
        waiting = runner.run({"request": ""}, thread="t")
        for city, answer in (("Rome", "sun"), ("Oslo", "snow")):
            assert [i["value"] for i in waiting.interrupts] == [city]
            waiting = runner.resume("t", answer)
    assert [result.text for result in waiting.output["answer"]] == ["Rome: sun", "Oslo: snow"]


def test_the_next_turn_of_the_thread_starts_anew(tmp_path: Path) -> None:
    def reason(state: Any) -> Any:
        return "done" if state["messages"] else call(state["request"])

    with Runner(react(reason, [weather]), db=tmp_path / "r.db") as runner:
        runner.run({"request": "Oslo"}, thread="t").raise_for_status()
        output = runner.run({"request": "Rome"}, thread="t").raise_for_status().output
    assert [m.text for m in output["messages"]] == ["", "sunny", "done"]


@pytest.mark.parametrize(
    ("tools", "options", "message"),
    [
        ([], {}, "no tools"),
        ([weather, weather], {}, "Two tools are called `weather`"),
        ([weather], {"max_turns": 0}, "max_turns=0"),
        ([weather], {"max_calls": True}, "max_calls=True"),
    ],
)
def test_what_cannot_be_meant_is_refused(tools: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        react(lambda state: "", tools, **options)


@pytest.mark.parametrize(
    "said",
    [
        {"name": "weather", "args": 5},
        {"name": "weather", "args": ["Rome"]},
        {"name": "weather", "args": None},
        {"name": "weather", "args": {1: "Rome"}},
        {"name": 5, "args": {}},
        [{"name": "weather", "args": {"place": "Rome"}, "id": 7}],
    ],
)
def test_what_only_has_the_keys_of_a_call_is_an_answer(said: Any) -> None:
    output = react(lambda state: said, [weather]).compile().invoke({"request": ""})
    assert (output["outcome"], output["answer"]) == ("answered", said)


def test_an_agent_with_tools_of_its_own_is_refused() -> None:
    with pytest.raises(DefinitionError, match="an agent with tools or an output of its own"):
        react(agent(ScriptedChatModel([""]), "{request}", tools=[weather]), [weather])


def test_one_turn_is_an_answer_at_once() -> None:
    flow = react(lambda state: call("Rome"), [weather], max_turns=1)
    assert flow.validate().findings == ()
    assert flow.compile().invoke({"request": ""})["outcome"] == "out of turns"
