"""An answer of nothing, and the same answer again and again, are failures like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage
from langgraph.types import Command

from dalsegno import END, START, Loop, RetryPolicy, Runner, Watch, Workflow
from dalsegno.errors import DefinitionError, EmptyAnswer, RepeatedAnswer
from dalsegno.runtime.events import Event, PolicyActed


class State(TypedDict, total=False):
    text: str
    messages: list[Any]
    round: int


def one(node: Any, **options: Any) -> Workflow:
    return Workflow("one", State).add_node("say", node, **options).add_edge(START, "say").add_edge("say", END)


@pytest.mark.parametrize("answer", [None, {}, {"text": None}, {"text": " "}, {"text": "", "messages": []}])
def test_an_answer_of_nothing_fails(tmp_path: Path, answer: Any) -> None:
    error = Runner(one(lambda s: answer, watch=True), db=tmp_path / "r.db").run({}).error
    assert error is not None
    assert (error["type"], error["node"]) == ("EmptyAnswer", "say")


@pytest.mark.parametrize("answer", [{"text": "x"}, {"round": 0}, {"text": "", "round": 1}])
def test_an_answer_of_something_passes(tmp_path: Path, answer: Any) -> None:
    assert Runner(one(lambda s: answer, watch=True), db=tmp_path / "r.db").run({}).status == "completed"


def test_only_the_keys_that_a_node_declares_to_write_count(tmp_path: Path) -> None:
    flow = one(lambda s: {"text": "", "round": 1}, watch=True, writes={"text"})
    error = Runner(flow, db=tmp_path / "r.db").run({}).error
    assert error is not None
    assert "answered nothing for `text`" in error["message"]


def test_a_message_without_content_and_tool_calls_is_nothing(wrap: Any, failing: Any) -> None:
    call = {"name": "add", "args": {}, "id": "1"}
    assert wrap(failing(answer=AIMessage("", tool_calls=[call])), watch=True)().tool_calls
    for answer in (AIMessage(""), {"messages": [AIMessage("")]}):
        with pytest.raises(EmptyAnswer):
            wrap(failing(answer=answer), watch=True)()


def test_a_decision_is_an_answer(wrap: Any, failing: Any) -> None:
    assert wrap(failing(answer=Command(goto="b")), watch=True)().goto == "b"


def test_an_empty_answer_is_tried_again(tmp_path: Path) -> None:
    answers, events = iter(["", "", "rain"]), list[Event]()
    retry = RetryPolicy(max_attempts=3, initial_interval=0, jitter=False)
    flow = one(lambda s: {"text": next(answers)}, watch=True, retry=retry)
    assert Runner(flow, db=tmp_path / "r.db", on_event=events.append).run({}).output == {"text": "rain"}
    assert [(e.policy, e.what) for e in events if isinstance(e, PolicyActed)] == [
        ("watch", "empty"),
        ("retry", "again"),
    ] * 2


def test_a_loop_that_says_the_same_again_and_again_is_stopped(tmp_path: Path) -> None:
    flow = Workflow("loop", State).add_node("say", lambda s: {"text": "same"}, watch=Watch(repeats=3))
    flow.add_edge(START, "say")
    flow.add_conditional_edges(
        "say", lambda s: "again", {"again": Loop("say", max=9, on_exhausted=END), "done": END}
    )
    for _ in range(2):  # a run of its own counts from the beginning
        result = Runner(flow, db=tmp_path / "r.db").run({})
        assert result.error is not None
        assert (result.error["type"], result.supersteps) == (RepeatedAnswer.__name__, 2)


def test_a_model_that_says_the_same_again_is_seen_whatever_ids_its_messages_have(tmp_path: Path) -> None:
    def say(state: Any) -> Any:
        call = {"name": "look", "args": {"where": "here"}, "id": str(uuid4())}
        update = {
            "text": AIMessage(
                [{"type": "text", "text": "?", "id": str(uuid4())}], id=str(uuid4()), tool_calls=[call]
            )
        }
        return Command(update=update)

    flow = Workflow("loop", State).add_node("say", say, watch=Watch(repeats=3)).add_edge(START, "say")
    flow.add_conditional_edges("say", lambda s: "again", {"again": Loop("say", max=9, on_exhausted=END)})
    result = Runner(flow, db=tmp_path / "r.db").run({})
    assert result.error is not None
    assert (result.error["type"], result.supersteps) == (RepeatedAnswer.__name__, 2)


def test_answers_that_differ_in_between_are_counted_anew(tmp_path: Path) -> None:
    said = iter("aabaabaab")
    flow = Workflow("loop", State).add_node("say", lambda s: {"text": next(said)}, watch=Watch(repeats=3))
    flow.add_edge(START, "say")
    flow.add_conditional_edges(
        "say", lambda s: "again", {"again": Loop("say", max=8, on_exhausted=END), "done": END}
    )
    assert Runner(flow, db=tmp_path / "r.db").run({}).status == "completed"


def test_every_node_of_a_workflow_can_be_watched() -> None:
    flow = Workflow("all", State).add_node("before", lambda s: {}, watch=False).set_node_defaults(watch=True)
    flow.add_node("a", lambda s: {}).add_edge(START, "before").add_edge("before", "a").add_edge("a", END)
    with pytest.raises(EmptyAnswer, match="`a` answered nothing"):
        flow.compile().invoke({})


@pytest.mark.parametrize("options", [{"repeats": 1}, {"repeats": 2.5}, {"empty": False}])
def test_a_watch_that_watches_nothing_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="Watch"):
        Watch(**options)
