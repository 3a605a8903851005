"""What a role answers: nothing, where it is watched or not; mappings, which are answers or updates; a human's word."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.types import interrupt
from pydantic import BaseModel

from dalsegno import END, START, RetryPolicy, Runner, Workflow, agent, human, tool
from dalsegno.errors import WrongAnswer
from dalsegno.graphs.patterns import (
    Node,
    Saga,
    SagaStep,
    Sequential,
    Step,
    ensemble,
    fallback_chain,
    function_calls,
    map_reduce,
    parallel,
    planner_executor,
    saga,
    sequential,
    supervisor,
)
from dalsegno.testing import ScriptedChatModel


def nothing(state: Any) -> Any:
    return None


async def anothing(state: Any) -> Any:
    return None


def blank(state: Any) -> str:
    return "  "


def local(state: Any) -> str:
    return "from here"


@pytest.mark.parametrize("mute", [nothing, anothing, blank])
def test_who_answers_nothing_and_is_watched_has_failed_and_the_next_is_asked(mute: Any) -> None:
    flow = fallback_chain({"mute": Node(mute, watch=True), "local": local})
    output = asyncio.run(flow.compile().ainvoke({"request": 1}))
    assert (output["answered_by"], output["failures"][0]["error"]) == ("local", "EmptyAnswer")


def test_a_branch_that_answers_nothing_is_collected() -> None:
    flow = parallel({"mute": Node(nothing, watch=True), "local": local}, on_error="collect")
    output = flow.compile().invoke({"value": 1})
    assert output["results"] == {"local": "from here"}
    assert [failure["name"] for failure in output["failures"]] == ["mute"]


def test_a_step_that_answers_nothing_at_first_is_tried_again() -> None:
    answers = iter([None, "", "at last"])
    step = Node(lambda s: next(answers), name="slow", watch=True, retry=RetryPolicy(initial_interval=0))
    retry = RetryPolicy(initial_interval=0, jitter=False)
    flow = sequential([step], options={"slow": {"retry": retry}})
    assert flow.compile().invoke({"value": 1})["value"] == "at last"


def test_without_a_watch_an_answer_of_nothing_is_no_answer() -> None:
    with pytest.raises(WrongAnswer, match="answered None"):
        fallback_chain({"mute": nothing, "local": local}).compile().invoke({"request": 1})


def unread(state: Any) -> Any:
    yield "rain"


@pytest.mark.parametrize(
    ("actor", "said"), [(lambda state: anothing(state), "Nobody awaits it"), (unread, "until it is read")]
)
def test_what_has_not_been_done_yet_is_no_answer(actor: Any, said: str, tmp_path: Path) -> None:
    with Runner(sequential({"step": actor}), db=tmp_path / "r.db") as runner:
        error = runner.run({"value": 1}).error
    assert error is not None
    assert error["type"] == WrongAnswer.__name__
    assert said in error["message"]


def test_a_mapping_whose_keys_resemble_some_of_the_state_is_an_answer() -> None:
    def plan(state: Any) -> Any:
        return {"calls": []}

    def respond(state: Any) -> dict[str, Any]:
        return {"result": 5, "plans": 1}

    output = function_calls(plan, [abs_of], respond).compile().invoke({"request": 1})
    assert output["response"] == {"result": 5, "plans": 1}
    said = {"answer": "blue", "source": "sky"}
    output = ensemble([member(said), member(said, "other")]).compile().invoke({"request": 1})
    assert (output["value"], output["confidence"]) == (said, 1.0)


@pytest.mark.parametrize("update", [{"valeu": 1, "note": 2}, {"value": 1, "failurse": []}])
def test_an_update_with_a_misspelt_key_is_refused(update: Any) -> None:
    with pytest.raises(WrongAnswer, match="did you mean"):
        sequential({"step": lambda s: update}).compile().invoke({"value": 0})


def abs_of(number: int) -> int:
    return abs(number)


def member(answer: Any, name: str = "member") -> Node:
    return Node(lambda state: answer, name=name)


def ask(key: str, about: str) -> Any:
    return human(f"What of {{{about}}}?", writes=key, name="ask")


class ByHand(Saga):
    by_hand: str


PLAN = [{"id": "a", "kind": "ask", "task": "x"}, {"id": "b", "kind": "ask", "task": "y", "needs": ["a"]}]

HUMANS: dict[str, tuple[Any, dict[str, Any], str, Any]] = {
    "supervisor": (
        lambda: supervisor(
            lambda s: {"tasks": [] if s["results"] else [{"to": "ask", "task": t} for t in "xy"]},
            {"ask": ask("results", "task"), "local": local},
        ),
        {"request": ""},
        "results",
        [{"number": n, "to": "ask", "task": t, "result": f"What of {t}?"} for n, t in ((1, "x"), (2, "y"))],
    ),
    "planner_executor": (
        lambda: planner_executor(lambda s: PLAN, {"ask": ask("results", "task")}),
        {"request": ""},
        "answer",
        {"a": {"result": "What of x?"}, "b": {"result": "What of y?"}},
    ),
    "parallel": (
        lambda: parallel({"ask": ask("results", "value"), "local": local}, on_error="collect"),
        {"value": "x"},
        "results",
        {"ask": "What of x?", "local": "from here"},
    ),
    "map_reduce": (
        lambda: map_reduce(ask("mapped", "item"), on_error="collect", max_items=2),
        {"items": ["x", "y"]},
        "results",
        ["What of x?", "What of y?"],
    ),
    "fallback_chain": (
        lambda: fallback_chain({"ask": ask("value", "request"), "local": local}),
        {"request": "x"},
        "value",
        "What of x?",
    ),
    "saga": (
        lambda: saga(
            [
                SagaStep(local, compensate=ask("by_hand", "request")),
                SagaStep(ask("results", "request"), name="ask"),
                SagaStep(lambda state: 1 / 0, name="refused"),
            ],
            state=ByHand,
        ),
        {"request": "x"},
        "outcome",
        "undone",
    ),
}


@pytest.mark.parametrize("name", HUMANS)
def test_a_human_plays_a_role_whose_failure_others_react_to(name: str, tmp_path: Path) -> None:
    make, given, key, expected = HUMANS[name]
    flow = make()
    with Runner(flow, db=tmp_path / "r.db") as runner:
        result = runner.run(given, thread="t")
        asked = 0
        while result.status == "interrupted":
            asked += 1
            result = runner.resume("t", {i["id"]: i["value"]["question"] for i in result.interrupts})
    assert result.raise_for_status().output[key] == expected
    assert asked == (2 if name in ("planner_executor", "saga") else 1)


def pay(state: Any) -> str:
    """Asks, and fails with the answer."""
    raise PermissionError(f"refused: {interrupt('Which card?')}")


ASKING = Node(pay, name="pay", interrupts=1)
REFUSED = {"name": "pay", "error": "PermissionError", "message": "refused: mine"}
ASKED_AND_FAILED: dict[str, tuple[Any, dict[str, Any], str, Any]] = {
    "sequential": (
        lambda: sequential([Step(pay, interrupts=1, on_error="skip")]),
        {"value": "x"},
        "failures",
        [REFUSED],
    ),
    "parallel": (
        lambda: parallel({"pay": ASKING, "local": local}, on_error="collect"),
        {"value": "x"},
        "failures",
        [REFUSED],
    ),
    "race": (
        lambda: parallel({"pay": ASKING, "local": ASKING}, on_error="collect", join="any"),
        {"value": "x"},
        "",
        "TooFewAnswers",
    ),
    "map_reduce": (
        lambda: map_reduce(ASKING, on_error="collect"),
        {"items": ["x"]},
        "failures",
        [{**REFUSED, "name": "item 1"}],
    ),
    "fallback_chain": (
        lambda: fallback_chain({"pay": ASKING, "local": local}),
        {"request": "x"},
        "answered_by",
        "local",
    ),
    "supervisor": (
        lambda: supervisor(
            lambda s: {"tasks": [] if s["results"] else [{"to": "pay", "task": "x"}]},
            {"pay": ASKING, "local": local},
        ),
        {"request": ""},
        "results",
        [{"number": 1, "to": "pay", "task": "x", "error": "PermissionError: refused: mine"}],
    ),
    "saga": (
        lambda: saga(
            [SagaStep(local, compensate=lambda state: None), SagaStep(pay, interrupts=1, effect=False)]
        ),
        {"request": "x"},
        "undone",
        ["local"],
    ),
}


@pytest.mark.parametrize("name", ASKED_AND_FAILED)
def test_what_fails_after_a_humans_answer_is_dealt_with_as_any_failure(name: str, tmp_path: Path) -> None:
    make, given, key, expected = ASKED_AND_FAILED[name]
    with Runner(make(), db=tmp_path / "r.db") as runner:
        result = runner.run(given, thread="t")
        assert result.status == "interrupted"
        result = runner.resume("t", {i["id"]: "mine" for i in result.interrupts})
    if result.error is not None:
        assert (name, result.error["type"]) == ("race", expected)
    else:
        assert result.output[key] == expected


@pytest.mark.parametrize("failures", [2, 3])
def test_what_asks_a_human_is_retried_before_its_failure_is_one(failures: int, tmp_path: Path) -> None:
    called: list[str] = []

    def tries(state: Any) -> str:
        called.append(interrupt("Which card?"))
        if len(called) <= failures:
            raise ConnectionError("not now")
        return "paid"

    retry = RetryPolicy(max_attempts=3, initial_interval=0.001, jitter=False, retry_on=ConnectionError)
    flow = sequential([Step(tries, interrupts=1, retry=retry, on_error="skip")])
    with Runner(flow, db=tmp_path / "r.db") as runner:
        assert runner.run({"value": "x"}, thread="t").status == "interrupted"
        output = runner.resume("t", "mine").raise_for_status().output
    assert called == ["mine"] * 3
    assert (output["value"], len(output["failures"])) == (("paid", 0) if failures == 2 else ("x", 1))


@pytest.mark.parametrize("in_a_pattern", [False, True])
def test_a_runnable_that_is_async_only_plays_in_a_run_without_a_loop(
    in_a_pattern: bool, tmp_path: Path
) -> None:
    async def shout(state: Any) -> dict[str, str]:
        return {"value": state["value"].upper()}

    runnable: Any = RunnableLambda(shout) | RunnableLambda(lambda update: update)
    flow = sequential({"shout": runnable})
    if not in_a_pattern:
        flow = Workflow("plain", Sequential).add_node("shout", runnable)
        flow.add_edge(START, "shout").add_edge("shout", END)
    with Runner(flow, db=tmp_path / "r.db") as runner:
        assert runner.run({"value": "rain"}).raise_for_status().output["value"] == "RAIN"
    assert asyncio.run(flow.compile().ainvoke({"value": "rain"}))["value"] == "RAIN"
    with pytest.raises(TypeError, match="ainvoke"):
        flow.compile().invoke({"value": "rain"})


def test_a_changed_prompt_or_tool_of_an_agent_in_a_role_is_noticed() -> None:
    def look(words: str) -> str:
        return words

    def other(words: str) -> str:
        return words * 2

    def code(prompt: Any, *tools: Any) -> Any:
        actor = agent(ScriptedChatModel([]), prompt, tools=tools)
        return fallback_chain({"ask": actor, "local": local}).spec.nodes["ask"].code

    asked = [code(p, *t) for p in (lambda s: "a", lambda s: "b") for t in ((), (look,), (other,))]
    assert len(set(asked)) == 6
    assert code("?", tool(look, name="a")) != code("?", tool(other, name="a"))


class Graded(BaseModel):
    points: int


def judging() -> Any:
    return agent(ScriptedChatModel([{"points": 3}]), "Judge it.", output=Graded)


@pytest.mark.parametrize(
    ("flow", "given", "key", "found"),
    [
        (lambda: sequential({"judge": judging()}), {"value": "it"}, "value", Graded(points=3)),
        (lambda: parallel({"judge": judging()}), {"value": "it"}, "results", {"judge": Graded(points=3)}),
        (lambda: map_reduce(judging()), {"items": ["it"]}, "results", [Graded(points=3)]),
        (lambda: fallback_chain({"judge": judging()}), {"request": "it"}, "value", Graded(points=3)),
    ],
)
def test_an_answer_of_a_class_is_kept_in_a_state_that_does_not_name_it(
    tmp_path: Path, flow: Any, given: Any, key: str, found: Any
) -> None:
    with Runner(flow(), db=tmp_path / "r.db") as runner:
        assert runner.run(given, thread="t").output[key] == found
    with Runner(flow(), db=tmp_path / "r.db") as runner:
        assert runner.checkpointer.get_tuple({"configurable": {"thread_id": "t"}}) is not None
