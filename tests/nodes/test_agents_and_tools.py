"""An agent uses tools within its bounds, and reads of everything that goes wrong with them."""

from __future__ import annotations

import asyncio
import operator
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.messages.tool import invalid_tool_call
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import InjectedToolCallId
from langchain_core.tools import tool as langchain_tool
from langgraph.graph.message import add_messages
from langgraph.prebuilt import InjectedState, ToolRuntime
from langgraph.types import interrupt
from pydantic import BaseModel

from dalsegno import END, START, Budget, RetryPolicy, Runner, Workflow, agent, effect, human, tool
from dalsegno.errors import AnswerInvalid, DefinitionError
from dalsegno.nodes import current_execution
from dalsegno.nodes.agent import Agent
from dalsegno.nodes.labels import tool_name
from dalsegno.runtime.events import NodeFinished, PolicyActed
from dalsegno.testing import Reply, ScriptedChatModel, crash_test

Play = Callable[[Any, Any], dict[str, Any]]


class State(TypedDict, total=False):
    question: str
    answer: str
    messages: Annotated[list[Any], add_messages]
    notes: Annotated[list[str], operator.add]


class Answer(BaseModel):
    """The answer."""

    answer: str


def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: the first
        b: the second
    """
    return a + b


async def aadd(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def call(name: str, /, **args: Any) -> dict[str, Any]:
    return {"name": name, "args": args}


def last(messages: list[BaseMessage]) -> str:
    return messages[-1].text


@pytest.mark.parametrize("function", [add, aadd, langchain_tool(add), tool(add), tool(aadd, writes="sum")])
def test_functions_of_both_colours_and_tools_of_any_kind_can_be_used(play: Play, function: Any) -> None:
    name = "aadd" if "aadd" in repr(function) else "add"
    script = [call(name, a=2, b=3), Reply("It is 5.", expect=lambda m: last(m) == "5")]
    with ScriptedChatModel(script) as model:
        assert play(agent(model, "{question}", tools=[function], writes="answer"), {"question": "2+3?"}) == {
            "answer": "It is 5."
        }


def test_the_model_is_told_what_the_docstring_says_of_arguments() -> None:
    with ScriptedChatModel(["5"]) as model:
        agent(model, "?", tools=[add], writes="answer").invoke({})
    function = model.calls[0].tools[0]["function"]
    assert (function["description"], function["parameters"]["properties"]["a"]["description"]) == (
        "Add two numbers.",
        "the first",
    )


def test_all_messages_of_the_loop_join_the_conversation(play: Play) -> None:
    with ScriptedChatModel([call("add", a=2, b=3), "It is 5."]) as model:
        messages = play(agent(model, "Be brief.", tools=[add]), {"messages": []})["messages"]
    assert [(m.type, m.text) for m in messages] == [("ai", ""), ("tool", "5"), ("ai", "It is 5.")]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (call("ad", a=1, b=2), "There is no tool `ad`; did you mean `add`? There are `add`, `divide`."),
        (call("add", a=1, c=2), "`add` takes no argument `c`. It takes `a`, `b`."),
        (call("add", a=1), "The arguments of `add` do not fit:\n`b`: Field required"),
        (call("add", a=1, b="x"), 'unable to parse string as an integer (it is "x")'),
        (call("divide", a=1, b=0), "`divide` failed. ZeroDivisionError: division by zero"),
    ],
)
def test_a_call_that_goes_wrong_is_a_result_that_says_how(play: Play, wrong: Any, told: str) -> None:
    def divide(a: int, b: int) -> float:
        return a / b

    with ScriptedChatModel([Reply(wrong, check=False), Reply("Well.", expect=told)]) as model:
        play(agent(model, "?", tools=[add, divide], writes="answer"), {})
    result = model.calls[1].messages[-1]
    assert isinstance(result, ToolMessage)
    assert result.status == "error"


def test_arguments_that_are_no_json_are_a_result_too(play: Play) -> None:
    broken = invalid_tool_call(name="add", args='{"a": 1', id="1", error=None)
    script = [
        Reply(AIMessage("", invalid_tool_calls=[broken]), check=False),
        Reply("Well.", expect="are not JSON"),
    ]
    with ScriptedChatModel(script) as model:
        play(agent(model, "?", tools=[add], writes="answer"), {})


@pytest.mark.parametrize("number", ["1", "", None])
def test_calls_that_share_an_id_or_have_none_keep_each_its_own_result(play: Play, number: str | None) -> None:
    calls = [{"name": "add", "args": {"a": a, "b": 2}, "id": number, "type": "tool_call"} for a in (1, 5, 7)]
    with ScriptedChatModel([Reply(AIMessage("", tool_calls=calls)), "done"]) as model:
        play(agent(model, "?", tools=[add], writes="answer", max_tool_calls=2), {})
    said = [m.text for m in model.calls[1].messages if m.type == "tool"]
    assert said == ["3", "7", "Not called: all 2 tool calls are used up. Answer without."]


def test_a_call_that_is_too_broken_to_have_a_name_is_no_answer(play: Play) -> None:
    broken = AIMessage("", invalid_tool_calls=[invalid_tool_call(name=None, args="{", id="1", error=None)])
    with ScriptedChatModel([Reply(broken, check=False), "done"]) as model:
        assert play(agent(model, "?", tools=[add], writes="answer"), {}) == {"answer": "done"}


def test_what_langgraph_injects_into_tools_comes_from_the_state_and_not_from_the_model(play: Play) -> None:
    @langchain_tool
    def ask(
        words: str,
        whole: Annotated[dict[str, Any], InjectedState],
        question: Annotated[str, InjectedState("question")],
        number: Annotated[str, InjectedToolCallId],
        runtime: ToolRuntime,
    ) -> str:
        """Ask."""
        assert (runtime.state, runtime.tool_call_id) == (whole, number)
        return f"{words} {question}"

    with ScriptedChatModel([call("ask", words="so"), Reply("ok", expect="so what?")]) as model:
        assert play(agent(model, "?", tools=[ask], writes="answer"), {"question": "what?"}) == {
            "answer": "ok"
        }
    assert set(model.calls[0].tools[0]["function"]["parameters"]["properties"]) == {"words"}


def test_what_langgraph_injects_reaches_a_tool_that_is_a_node(play: Play) -> None:
    @langchain_tool
    def ask(words: str, question: Annotated[str, InjectedState("question")], runtime: ToolRuntime) -> str:
        """Ask."""
        return f"{words} {question} {sorted(runtime.state)}"

    state = {"words": "so", "question": "what?"}
    assert play(tool(ask, writes="answer"), state) == {"answer": "so what? ['question', 'words']"}


def test_calls_beside_each_other_run_beside_each_other(play: Play) -> None:
    barrier = threading.Barrier(2, timeout=10)

    def meet(name: str) -> str:
        barrier.wait()
        return f"met {name}"

    script = [[call("meet", name="a"), call("meet", name="b")], Reply("Done.", expect=["met a", "met b"])]
    with ScriptedChatModel(script) as model:
        play(agent(model, "?", tools=[meet], writes="answer"), {})
    assert [m.text for m in model.calls[1].messages[-2:]] == ["met a", "met b"]


def test_in_the_last_turn_no_tool_is_offered_and_the_model_is_told(play: Play) -> None:
    script = [
        call("add", a=1, b=1),
        call("add", a=2, b=1),
        Reply("About 3.", expect="No tool can be called any more"),
    ]
    with ScriptedChatModel(script) as model:
        assert play(agent(model, "?", tools=[add], writes="answer", max_turns=3), {}) == {
            "answer": "About 3."
        }
    assert model.calls[2].kwargs["tool_choice"] == "none"


def test_a_model_that_calls_tools_even_then_fails_with_what_it_said(play: Play) -> None:
    script = [call("add", a=1, b=1), Reply(call("add", a=2, b=1), check=False)]
    with (
        ScriptedChatModel(script) as model,
        pytest.raises(AnswerInvalid, match="after 2 turns no tool") as raised,
    ):
        play(agent(model, "?", tools=[add], writes="answer", max_turns=2), {})
    assert raised.value.said == '[{"a": 2, "b": 1}]'


def test_calls_beyond_the_bound_of_tool_calls_are_not_made_and_the_model_is_told(play: Play) -> None:
    made: list[int] = []

    def note(n: int) -> str:
        made.append(n)
        return "noted"

    script = [[call("note", n=n) for n in range(3)], Reply("Done.", expect="all 2 tool calls are used up")]
    with ScriptedChatModel(script) as model:
        play(agent(model, "?", tools=[note], writes="answer", max_tool_calls=2), {})
    assert sorted(made) == [0, 1]


def test_an_answer_of_a_shape_is_called_like_a_tool(play: Play) -> None:
    script = [call("add", a=1, b=2), Reply(call("Answer", answer="3"), expect=lambda m: last(m) == "3")]
    with ScriptedChatModel(script) as model:
        assert play(agent(model, "?", tools=[add], output=Answer), {}) == {"answer": "3"}
    assert [t["function"]["name"] for t in model.calls[0].tools] == ["add", "Answer"]


def test_an_answer_beside_tool_calls_waits_for_their_results(play: Play) -> None:
    script = [
        [call("add", a=1, b=2), call("Answer", answer="4?")],
        Reply(call("Answer", answer="3"), expect="tools were called beside it"),
    ]
    with ScriptedChatModel(script) as model:
        assert play(agent(model, "?", tools=[add], output=Answer), {}) == {"answer": "3"}


def test_every_turn_and_every_correction_is_counted_and_no_more(play: Play) -> None:
    wrong = Reply(call("Answer"), check=False)
    script = [call("add", a=1, b=1), wrong, call("add", a=1, b=1), wrong, wrong]
    with ScriptedChatModel(script) as model, pytest.raises(AnswerInvalid):
        play(agent(model, "?", tools=[add], output=Answer, max_turns=3, corrections=2), {})
    assert agent(model, "?", tools=[add], output=Answer, max_turns=3, corrections=2).declares()["calls"] == 5


# -- in a run ----------------------------------------------------------------------------------------


def asking(player: Any, **options: Any) -> Workflow:
    return (
        Workflow("asking", State)
        .add_node("ask", player, **options)
        .add_edge(START, "ask")
        .add_edge("ask", END)
    )


def test_a_budget_of_calls_holds_inside_the_tool_loop(tmp_path: Path, drive: Callable[..., Any]) -> None:
    model = ScriptedChatModel([], then=lambda messages: [call("add", a=len(messages), b=1)])
    with Runner(asking(agent(model, "?", tools=[add], writes="answer")), db=tmp_path / "r.db") as runner:
        result = drive(runner, "run", {}, thread="t", budget=Budget(model_calls=3))
    assert (result.status, result.error["type"]) == ("failed", "BudgetExceeded")
    assert len(model.calls) == 3


def test_a_spent_budget_in_a_tool_is_no_result_to_react_to(tmp_path: Path, drive: Callable[..., Any]) -> None:
    inner = ScriptedChatModel([], then="inside")
    helper = agent(inner, "Look for {what}", writes="found", name="helper")
    model = ScriptedChatModel([], then=lambda messages: [call("helper", what="x")])
    flow = asking(agent(model, "?", tools=[helper], writes="answer"))
    with Runner(flow, db=tmp_path / "r.db") as runner:
        result = drive(runner, "run", {}, thread="t", budget=Budget(model_calls=3))
    assert (result.error["type"], result.usage["model_calls"]) == ("BudgetExceeded", 3)
    assert (len(model.calls), len(inner.calls)) == (2, 1)


def test_agents_and_workflows_are_tools_and_their_calls_are_certified(
    tmp_path: Path, drive: Callable[..., Any]
) -> None:
    class Topic(TypedDict):
        topic: str

    class Found(TypedDict):
        found: str

    class Search(TypedDict, total=False):
        topic: str
        found: str

    def nested(model: Any) -> Workflow:
        flow = Workflow("search", Search, input_schema=Topic, output_schema=Found)
        flow.add_node("look", agent(model, "Look for {topic}", writes="found", name="look"))
        return flow.add_edge(START, "look").add_edge("look", END)

    looker = ScriptedChatModel([Reply("rain", expect="weather")])
    helper = ScriptedChatModel([Reply("Rain falls.", expect="Polish: rain")])
    script = [
        call("search", topic="weather"),
        Reply(call("polish", text="rain"), expect=lambda m: last(m) == "rain"),
        Reply(call("shout", text="rain falls"), expect=lambda m: last(m) == "Rain falls."),
        Reply("RAIN FALLS", expect=lambda m: last(m) == "RAIN FALLS"),
    ]
    polish = agent(helper, "Polish: {text}", writes="polished", name="polish")

    def shouting(state: Text) -> str:
        return state["text"].upper()

    shout = RunnableLambda(shouting, name="shout")
    with ScriptedChatModel(script) as model, looker, helper:
        tools = [nested(looker), polish, tool(lambda_of(shout), name="shout")]
        player = agent(model, "?", tools=tools, writes="answer", max_turns=5, max_tool_calls=4)
        assert player.declares()["calls"] == 5 + 4 * 1
        flow = asking(player)
        certificate = flow.validate().certificate
        assert certificate
        assert certificate.model_calls == 9
        told: list[Any] = []
        with Runner(flow, db=tmp_path / "r.db", on_event=told.append) as runner:
            result = drive(runner, "run", {}, thread="t")
    assert result.output["answer"] == "RAIN FALLS"
    assert (result.usage["model_calls"], result.supersteps) == (6, 1)
    assert [e.node for e in told if isinstance(e, NodeFinished)] == ["ask/search/look", "ask"]
    assert set(result.usage["by_node"]) == {"ask", "ask/search/look"}


class Text(TypedDict):
    text: str


def lambda_of(runnable: Any) -> Callable[..., str]:
    def shout(text: str) -> str:
        return str(runnable.invoke({"text": text}))

    return shout


def test_a_runnable_with_named_arguments_is_a_tool(play: Play) -> None:
    def shouting(state: Text) -> str:
        return state["text"].upper()

    with ScriptedChatModel([call("shout", text="rain"), Reply("ok", expect="RAIN")]) as model:
        player = agent(model, "?", tools=[RunnableLambda(shouting, name="shout")], writes="answer")
        assert play(player, {}) == {"answer": "ok"}
    assert player.declares()["calls"] is None


def test_workflows_and_agents_are_tools_by_names_that_a_model_can_call(play: Play) -> None:
    flow = Workflow("Prüfung v1.0", Text).add_node("shout", lambda state: {"text": state["text"].upper()})
    flow.add_edge(START, "shout").add_edge("shout", END)
    helper = ScriptedChatModel([Reply("Rain.")])
    polish = agent(helper, "Polish: {text}", writes="text", name="polish & shine")
    checked, polished = "Prufung_v1_0_5ef244", tool_name("polish & shine")
    with (
        ScriptedChatModel([call(checked, text="rain"), call(polished, text="rain"), Reply("ok")]) as model,
        helper,
    ):
        player = agent(model, "?", tools=[flow, polish], writes="answer")
        assert play(player, {}) == {"answer": "ok"}


def test_a_failure_that_is_declared_loud_fails_the_node(play: Play) -> None:
    def pay() -> str:
        raise ConnectionError("no bank")

    with ScriptedChatModel([call("pay")]) as model, pytest.raises(ConnectionError):
        play(agent(model, "?", tools=[tool(pay, errors="raise")], writes="answer"), {})


def test_an_agent_has_the_effects_of_its_tools_and_a_changed_prompt_or_tool_is_noticed() -> None:
    def pay() -> str:
        return "paid"

    def node(prompt: str, *tools: Any) -> Any:
        return asking(agent(ScriptedChatModel([]), prompt, tools=tools, writes="answer")).spec.nodes["ask"]

    safe, paying = tool(pay, effect=True, idempotent=True), tool(pay, name="pay2", effect=True)
    assert (node("?", add).effect, node("?", safe).effect, node("?", safe).idempotent) == (False, True, True)
    assert (node("?", safe, paying).effect, node("?", safe, paying).idempotent) == (True, False)
    assert node("?", add).code == node("?", add).code
    assert len({node("?", add).code, node("!", add).code, node("?").code, node("?", aadd).code}) == 4


def test_what_a_tool_answers_is_told_to_whoever_listens(tmp_path: Path) -> None:
    def fail() -> str:
        raise ConnectionError("no bank")

    told: list[Any] = []
    model = ScriptedChatModel([call("fail"), "Sorry."])
    with Runner(
        asking(agent(model, "?", tools=[fail], writes="answer")), db=tmp_path / "r.db", on_event=told.append
    ) as r:
        r.run({})
    acted = [e for e in told if isinstance(e, PolicyActed)]
    assert [(e.node, e.policy, e.what, e.detail) for e in acted] == [
        ("ask", "tool", "failed", {"tool": "fail", "error": "ConnectionError"})
    ]


# -- crashes -----------------------------------------------------------------------------------------

GONE = ConnectionError("the model is gone")


class Till:
    """Charges cards: what it charged, and under which keys it was asked to."""

    def __init__(self) -> None:
        self.charged: list[int] = []
        self.keys: list[str] = []

    def tool(self) -> Callable[..., str]:
        def charge(amount: int) -> str:
            execution = current_execution()
            assert execution
            self.keys.append(execution.idempotency_key)
            return effect("charge", self._charge, amount)

        return charge

    def _charge(self, amount: int) -> str:
        self.charged.append(amount)
        return f"receipt for {amount}"


def test_a_tool_loop_that_broke_off_goes_on_where_it_was(tmp_path: Path, drive: Callable[..., Any]) -> None:
    made: list[int] = []

    def note(n: int) -> str:
        made.append(n)
        return f"noted {n}"

    script = [
        [call("note", n=1), call("note", n=2)],
        call("note", n=3),
        GONE,
        Reply("Done.", expect=["noted 1", "noted 2", "noted 3"]),
    ]
    told: list[Any] = []
    with ScriptedChatModel(script) as model:
        flow = asking(agent(model, "Note", tools=[note], writes="answer"))
        with Runner(flow, db=tmp_path / "r.db") as runner:
            assert drive(runner, "run", {}, thread="t").status == "failed"
        with Runner(flow, db=tmp_path / "r.db", on_event=told.append) as runner:
            result = drive(runner, "resume", "t")
    assert (result.output["answer"], result.usage["model_calls"]) == ("Done.", 4)
    assert sorted(made) == [1, 2, 3]
    acted = [(e.policy, e.what, e.detail) for e in told if isinstance(e, PolicyActed)]
    assert acted == [("agent", "recalled", {"tool_calls": 2}), ("agent", "recalled", {"tool_calls": 1})]


def test_a_retry_goes_on_where_the_attempt_before_was(tmp_path: Path, drive: Callable[..., Any]) -> None:
    with ScriptedChatModel(
        [call("add", a=1, b=2), GONE, Reply("3", expect=lambda m: last(m) == "3")]
    ) as model:
        again = RetryPolicy(max_attempts=2, initial_interval=0, jitter=False)
        flow = asking(agent(model, "?", tools=[add], writes="answer"), retry=again)
        with Runner(flow, db=tmp_path / "r.db") as runner:
            assert drive(runner, "run", {}, thread="t").output["answer"] == "3"


def test_a_tool_that_failed_before_is_used_again(tmp_path: Path, drive: Callable[..., Any]) -> None:
    results: list[Any] = [ConnectionError("no network"), "rain"]

    def look() -> str:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return str(result)

    script = [
        call("look"),
        Reply(GONE, expect="no network"),
        Reply("Rain.", expect=lambda m: last(m) == "rain"),
    ]
    with ScriptedChatModel(script) as model:
        flow = asking(agent(model, "?", tools=[look], writes="answer"))
        with Runner(flow, db=tmp_path / "r.db") as runner:
            assert drive(runner, "run", {}, thread="t").status == "failed"
            assert drive(runner, "resume", "t").output["answer"] == "Rain."


def test_with_another_prompt_it_begins_anew_and_an_effect_is_still_done_once_for_the_same_call(
    tmp_path: Path, drive: Callable[..., Any]
) -> None:
    till = Till()
    first = [call("charge", amount=5), call("charge", amount=5), call("charge", amount=7)]
    script = [first, GONE, [*first, call("charge", amount=8)], Reply("Paid.", expect="receipt for 8")]
    with ScriptedChatModel(script) as model:
        player = agent(model, "Pay", tools=[till.tool()], writes="answer")
        with Runner(asking(player), db=tmp_path / "r.db") as runner:
            assert drive(runner, "run", {}, thread="t").status == "failed"
        with Runner(asking(player.with_(prompt="Pay now")), db=tmp_path / "r.db") as runner:
            assert drive(runner, "resume", "t").output["answer"] == "Paid."
    assert sorted(till.charged) == [5, 5, 7, 8]
    assert sorted(till.keys[:3]) == sorted(key for key in till.keys[3:] if key in till.keys[:3])
    assert len(set(till.keys)) == 4


def test_it_ends_the_same_wherever_it_is_killed(tmp_path: Path) -> None:
    def answering(messages: list[BaseMessage]) -> Any:
        results = [m for m in messages if m.type == "tool"]
        return (
            f"{len(results)} results"
            if len(results) > 2
            else [call("add", a=len(results), b=n) for n in (1, 2)]
        )

    model = ScriptedChatModel([], then=answering)
    report = crash_test(asking(agent(model, "?", tools=[add], writes="answer")), {})
    assert report.kills > 4
    report.raise_for_failures()


# -- a human in the loop -----------------------------------------------------------------------------


@pytest.mark.parametrize("beside", [False, True])
def test_each_question_of_a_tool_gets_its_own_answer_and_nothing_else_is_done_again(
    tmp_path: Path, drive: Callable[..., Any], beside: bool
) -> None:
    noted: list[str] = []
    charged: list[tuple[int, bool]] = []

    def note(words: str) -> str:
        noted.append(words)
        return "noted"

    async def charge(amount: int) -> str:
        if amount == 5:
            await asyncio.sleep(0.02)  # the first call asks last
        approved = interrupt({"question": f"Charge {amount}?"})
        return effect("charge", lambda: charged.append((amount, approved)) or f"{amount} {approved}")  # type: ignore[func-returns-value]

    calls = [call("charge", amount=5), call("charge", amount=7), call("charge", amount=9)]
    script = [call("note", words="a"), *([calls] if beside else calls)]
    with ScriptedChatModel([*script, Reply("Done.", expect=["5 True", "7 False", "9 True"])]) as model:
        player = agent(model, "Pay", tools=[charge, note], writes="answer")
        with Runner(asking(player, interrupts=3), db=tmp_path / "r.db") as runner:
            waiting = drive(runner, "run", {}, thread="t")
            for amount, answer in ((5, True), (7, False), (9, True)):
                assert [i["value"]["question"] for i in waiting.interrupts] == [f"Charge {amount}?"]
                waiting = drive(runner, "resume", "t", answer)
    assert waiting.output["answer"] == "Done."
    assert (charged, noted) == ([(5, True), (7, False), (9, True)], ["a"])


# -- what cannot be meant ----------------------------------------------------------------------------


def one_by_one(most: int) -> Iterator[int]:
    yield from range(most)


async def slowly_one_by_one(most: int) -> AsyncIterator[int]:
    yield most


def of_a_model(model: ScriptedChatModel, each: Callable[[int], int]) -> str:
    return f"{model} {each}"


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        ([add, langchain_tool(add)], "Two tools are called `add`"),
        ([lambda x: x], "lambda"),
        ([lambda_of], "`lambda_of` has no type for `runnable`"),
        ([human("Really?", answer=bool, writes="answer")], "is a human, and no tool"),
        ([agent(ScriptedChatModel([]), "Hi")], "names no fields"),
        ([RunnableLambda(lambda x: x, name="any")], "takes no named arguments"),
        ([one_by_one], "`one_by_one` is a generator, and a call has one result: return a list"),
        ([slowly_one_by_one], "`slowly_one_by_one` is a generator"),
        ([of_a_model], "`of_a_model` takes an argument of a type that no model could be told"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_at_once(tools: list[Any], message: str) -> None:
    def untyped(x):  # type: ignore[no-untyped-def]
        return x

    tools = [untyped if t is lambda_of else t for t in tools]
    with pytest.raises(
        DefinitionError, match=message.replace("`lambda_of`", "`untyped`").replace("`runnable`", "`x`")
    ):
        agent(ScriptedChatModel([]), "?", tools=tools, writes="answer")


def test_a_tool_that_steers_the_graph_is_refused(play: Play) -> None:
    from langgraph.types import Command

    def go() -> Any:
        return Command(goto="elsewhere")

    with ScriptedChatModel([call("go")]) as model, pytest.raises(Exception, match="gave Command"):
        play(agent(model, "?", tools=[go], writes="answer"), {})


def test_a_server_with_a_tool_too_many_is_refused_each_time_for_that_one(play: Play) -> None:
    class Server:
        def list_tools(self) -> list[Any]:
            return [langchain_tool("more")(add), langchain_tool("add")(add)]

    adding = agent(ScriptedChatModel([]), "Go", tools=[add, Server()], writes="answer")
    for _ in range(2):
        with pytest.raises(DefinitionError, match="Two tools are called `add`"):
            play(adding, {})


@pytest.mark.parametrize("look", [Agent.declares, Agent.functions])
def test_an_agent_is_looked_at_while_another_thread_asks_a_server_for_its_tools(
    look: Callable[[Agent], Any],
) -> None:
    class Server:
        def list_tools(self) -> list[Any]:
            return [langchain_tool("more")(add)]

    class Asked(dict[str, Any]):
        """While somebody asks what is known of a tool, the other thread has its answer."""

        def get(self, *given: Any) -> Any:
            box.open()
            return super().get(*given)

    box = (adding := agent(ScriptedChatModel([]), "Go", tools=[add, Server()], writes="answer")).toolbox
    box.tools["add"].metadata = Asked(by="its author")
    assert look(adding)
    assert list(box.tools) == ["add", "more"]
