"""Somebody else answers when the node cannot, and it is said who."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.errors import GraphInterrupt

from dalsegno import END, START, Fallback, RetryPolicy, Runner, Workflow, agent, tool
from dalsegno.errors import BudgetExceeded, DefinitionError
from dalsegno.nodes.policies import spend, with_policies
from dalsegno.runtime.events import Event, NodeFailed, PolicyActed
from dalsegno.testing import ScriptedChatModel


class State(TypedDict, total=False):
    said: str


def second(*args: Any) -> str:
    return "second"


def test_the_first_answer_that_comes_is_taken_and_it_is_said_whose_it_is(
    wrap: Any, failing: Any, acted: list[Any]
) -> None:
    node = failing(ConnectionError("no network"))
    assert wrap(node, fallback=Fallback(failing(KeyError()), second, "third"))() == "second"
    assert [(a.policy, a.what) for a in acted] == [("fallback", "answered")]
    assert acted[0].detail == {"by": "second", "error": "ConnectionError", "message": "no network"}


def test_a_constant_is_given_anew_each_time(wrap: Any, failing: Any) -> None:
    call = wrap(failing(ValueError(), ValueError()), fallback={"notes": []})
    call()["notes"].append("changed")
    assert call() == {"notes": []}


def test_a_runnable_is_called_with_the_same_input(wrap: Any, failing: Any) -> None:
    assert wrap(failing(ValueError()), fallback=RunnableLambda(lambda x: x + 1))(4) == 5


def test_only_the_errors_that_are_meant_fall_through(wrap: Any, failing: Any) -> None:
    fallback = Fallback(second, on=(ConnectionError, TimeoutError))
    assert wrap(failing(ConnectionError()), fallback=fallback)() == "second"
    with pytest.raises(ValueError, match="mine"):
        wrap(failing(ValueError("mine")), fallback=fallback)()


@pytest.mark.parametrize("error", [GraphInterrupt(()), BudgetExceeded("spent"), SystemExit()])
def test_signals_and_breaches_of_what_is_declared_do_not_fall_through(
    wrap: Any, failing: Any, error: BaseException
) -> None:
    with pytest.raises(type(error)):
        wrap(failing(error), fallback="constant")()


def test_a_fallback_that_fails_says_what_failed_before_it(wrap: Any, failing: Any) -> None:
    with pytest.raises(KeyError, match="last") as caught:
        wrap(
            failing(ValueError("first")),
            fallback=Fallback(failing(TypeError("next")), failing(KeyError("last"))),
        )()
    assert "asked because of ValueError: first" in caught.value.__notes__[0]
    assert isinstance(caught.value.__cause__, TypeError)
    assert isinstance(caught.value.__cause__.__cause__, ValueError)


@pytest.mark.parametrize("is_async", [False, True])
def test_in_a_run_a_fallback_is_one_more_attempt(tmp_path: Path, failing: Any, is_async: bool) -> None:
    node, events = failing(*[ValueError("broken")] * 9), list[Event]()

    async def other(state: State) -> dict[str, Any]:
        return {"said": "the other"}

    flow = Workflow("flow", State)
    flow.add_node(
        "ask",
        lambda s: node(s),
        retry=RetryPolicy(max_attempts=2, initial_interval=0, jitter=False),
        fallback=other if is_async else (lambda s: asyncio.run(other(s))),
        calls=1,
    )
    flow.add_edge(START, "ask").add_edge("ask", END)
    result = Runner(flow, db=tmp_path / "r.db", on_event=events.append).run({})
    assert result.output == {"said": "the other"}
    assert [e.attempt for e in events if isinstance(e, NodeFailed)] == [1, 2]
    told = [(e.what, e.attempt) for e in events if isinstance(e, PolicyActed) and e.policy == "fallback"]
    assert told == [("answered", 3)]
    certificate = flow.validate().certificate
    assert certificate is not None
    assert certificate.model_calls == 3


def test_a_chat_model_is_no_node_and_stands_in_for_none() -> None:
    model = ScriptedChatModel([])
    for node, options in ((model, {}), (model.bind(stop=["."]), {}), (second, {"fallback": model})):
        with pytest.raises(DefinitionError, match="is a chat model, which is asked with messages"):
            Workflow("flow", State).add_node("ask", node, **options)


@pytest.mark.parametrize("first", [agent, tool])
def test_an_agent_that_stands_in_may_call_its_model_as_often_as_it_says(tmp_path: Path, first: Any) -> None:
    def look(words: str) -> str:
        return words

    def gone() -> str:
        raise ConnectionError("gone")

    script = [{"name": "look", "args": {"words": "rain"}}, "Rain."]
    with ScriptedChatModel(script) as model:
        other = agent(model, "Look.", tools=[look], writes="said", max_turns=3)
        node = (
            tool(gone, writes="said")
            if first is tool
            else agent(ScriptedChatModel([ConnectionError("gone")]), "?", writes="said")
        )
        flow = Workflow("flow", State).add_node("ask", node, fallback=other)
        flow.add_edge(START, "ask").add_edge("ask", END)
        assert Runner(flow, db=tmp_path / "r.db").run({}).output == {"said": "Rain."}
    certificate = flow.validate().certificate
    assert certificate is not None
    assert certificate.model_calls == 2 * 3


@pytest.mark.parametrize("answers", [(), (Workflow("other", State),)])
def test_a_fallback_to_nothing_or_to_a_workflow_is_refused(answers: Any) -> None:
    with pytest.raises(DefinitionError, match="Fallback"):
        Fallback(*answers)


def test_a_lambda_that_answers_is_named_by_its_place(failing: Any, acted: list[Any]) -> None:
    call = with_policies(failing(ValueError()), fallback=lambda: "other", on_action=acted.append)
    assert call() == "other"
    assert str(acted[0].detail["by"]).startswith("the lambda at test_fallback.py:")


def in_a_subworkflow(**options: Any) -> Workflow:
    def fails(state: State) -> State:
        raise ConnectionError("no network")

    inner = Workflow("inner", State).add_node("ask", fails, calls=2)
    inner.add_edge(START, "ask").add_edge("ask", END)
    flow = Workflow("outer", State).add_node("sub", inner, **options)
    return flow.add_edge(START, "sub").add_edge("sub", END)


def test_the_calls_of_who_stands_in_for_a_subworkflow_are_counted_as_proved(tmp_path: Path) -> None:
    model = ScriptedChatModel(["Rain."])
    flow = in_a_subworkflow(fallback=agent(model, "What falls?", writes="said"))
    assert flow.validate().certificate.model_calls == 2 + 1
    with Runner(flow, db=tmp_path / "r.db") as runner:
        done = runner.run({})
    assert (done.output, done.usage["model_calls"]) == ({"said": "Rain."}, 1)


def test_the_calls_of_a_function_that_stands_in_for_a_subworkflow_are_known_where_they_are_said(
    tmp_path: Path,
) -> None:
    def other(state: State) -> State:
        spend(model_calls=2)
        return {"said": "other"}

    unknown = in_a_subworkflow(fallback=other).validate().certificate.bounds["model_calls"]
    assert unknown.value is None
    assert unknown.reason.startswith("`sub` does not declare model calls.")
    assert in_a_subworkflow(fallback={"said": "nothing"}).validate().certificate.model_calls == 2
    for calls, status in ((2, "completed"), (1, "failed")):
        flow = in_a_subworkflow(fallback=other, calls=calls)
        assert flow.validate().certificate.model_calls == 2 + calls
        assert Runner(flow, db=tmp_path / "r.db").run({}).status == status
