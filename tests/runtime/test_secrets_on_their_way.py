"""Secrets that are not in the state yet, or that an error, a span or a question repeats: they are masked as well."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import StateGraph
from langgraph.prebuilt import InjectedState
from langgraph.types import Command, interrupt
from pydantic import BaseModel, TypeAdapter

from dalsegno import END, START, Loop, Runner, Secret, Workflow
from dalsegno.errors import InputInvalid
from dalsegno.graphs.patterns import parallel
from dalsegno.graphs.patterns.parallel import Parallel
from dalsegno.nodes.agent import agent
from dalsegno.nodes.schemas import ShownSchema
from dalsegno.nodes.secrets import MASK
from dalsegno.nodes.tool import tool
from dalsegno.runtime.events import CallFinished, CallStarted, Event, NodeFailed
from dalsegno.testing import Reply, ScriptedChatModel

PLANTED = "planted-token-71"


class State(TypedDict, total=False):
    topic: str
    key: Annotated[str, Secret]


class Plain(TypedDict, total=False):
    topic: str


def log_in(state: State) -> dict[str, Any]:
    return {"key": PLANTED}


def other(state: State) -> None:
    pass


def to_the_key(state: State) -> Literal["other"]:
    return state["key"]  # type: ignore[return-value]  # the router's fault


def routed() -> Workflow:
    flow = Workflow("routed", State).add_node(log_in).add_node(other)
    return flow.add_edge(START, "log_in").add_conditional_edges("log_in", to_the_key).add_edge("other", END)


def looping() -> Workflow:
    flow = Workflow("looping", State).add_node(log_in).add_node(other).add_edge(START, "log_in")
    again = {"again": Loop("log_in", max=2, on_exhausted="other"), "on": "other"}
    return flow.add_conditional_edges("log_in", to_the_key, again).add_edge("other", END)


def commanding() -> Workflow:
    def go(state: State) -> Command[Literal["other"]]:
        return Command(update={"key": PLANTED}, goto=PLANTED)  # type: ignore[arg-type]  # the node's fault

    flow = Workflow("commanding", State).add_node(go).add_node(other)
    return flow.add_edge(START, "go").add_edge("other", END)


def inside() -> Workflow:
    flow = Workflow("inside", Plain).add_node("sub", routed(), inputs={}, outputs={})
    return flow.add_edge(START, "sub").add_edge("sub", END)


def of_langgraph() -> Any:
    def repeat(state: State) -> str:
        raise ValueError(f"no way to {state['key']}")

    graph = StateGraph(State).add_node(log_in).add_node(other).add_edge("__start__", "log_in")
    return graph.add_conditional_edges("log_in", repeat, ["other"]).compile()


def later_in_langgraph() -> Any:
    def repeat(state: State) -> None:
        raise ValueError(f"refused {state['key']}")

    graph = StateGraph(State).add_node(log_in).add_node(repeat).add_edge("__start__", "log_in")
    return graph.add_edge("log_in", "repeat").compile()


@pytest.mark.parametrize("made", [routed, looping, commanding, inside, of_langgraph, later_in_langgraph])
def test_what_a_node_has_just_given_is_masked_where_an_error_repeats_it(tmp_path: Path, made: Any) -> None:
    heard: list[Event] = []
    with Runner(made(), db=tmp_path / "runs.db", on_event=heard.append) as runner:
        result = runner.run({}, thread="t")
        journal = [record.error for record in runner.ledger.executions(result.run_id)]
    assert result.error is not None
    assert MASK in result.error["message"]
    told = [event.message for event in heard if isinstance(event, NodeFailed)]
    assert told or made is of_langgraph
    assert PLANTED not in repr((result.error, told, journal))


def refusing(old: Any, new: Any) -> Any:
    if new:
        raise ValueError(f"{new} cannot be put to {old}")
    return new


class Merging(TypedDict, total=False):
    key: Annotated[str, Secret, refusing]


@pytest.mark.parametrize("is_inside", [False, True])
def test_what_cannot_be_put_into_the_state_is_masked_after_a_resume_too(
    tmp_path: Path, is_inside: bool
) -> None:
    flow = Workflow("merging", Merging).add_node("log_in", lambda state: {"key": PLANTED})
    flow.add_edge(START, "log_in").add_edge("log_in", END)
    outer = Workflow("outer", Plain).add_node("sub", flow, inputs={}, outputs={})
    outer.add_edge(START, "sub").add_edge("sub", END)
    for resumes in (False, True):
        with Runner(outer if is_inside else flow, db=tmp_path / "runs.db") as runner:
            result = runner.resume("t") if resumes else runner.run({}, thread="t")
        assert result.error is not None
        assert result.error["message"].startswith(f"{MASK} cannot be put to ")
        assert PLANTED not in result.error["traceback"]


def test_what_is_said_to_a_model_is_masked_where_a_node_before_has_made_the_secret(tmp_path: Path) -> None:
    def ask(state: State) -> dict[str, Any]:
        model = ScriptedChatModel([AIMessage(f"{state['key']} is right")])
        return {"topic": model.invoke(f"Is {state['key']} right?").text[-5:]}

    flow = Workflow("asking", State).add_node(log_in).add_node(ask)
    flow.add_edge(START, "log_in").add_edge("log_in", "ask").add_edge("ask", END)
    heard: list[Any] = []

    def listener(event: Event) -> None:
        if isinstance(event, CallStarted | CallFinished):
            heard.append(event.content())

    with Runner(flow, db=tmp_path / "runs.db", on_event=listener) as runner:
        assert runner.run({}, thread="t").output["topic"] == "right"
    assert len(heard) == 2
    assert MASK in repr(heard[0])
    assert PLANTED not in repr(heard)


class Branches(Parallel, total=False):
    key: Annotated[str, Secret]


def refused(state: Mapping[str, Any]) -> str:
    raise ValueError(f"refused {state['key']}")


def test_a_failure_that_a_pattern_keeps_in_the_state_is_masked(tmp_path: Path) -> None:
    flow = parallel({"good": lambda state: 1, "bad": refused}, on_error="collect", state=Branches)
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        output = runner.run({"value": 1, "key": PLANTED}).output
    assert output["failures"] == [{"name": "bad", "error": "ValueError", "message": f"refused {MASK}"}]
    assert output["key"] == PLANTED


class Asking(State, total=False):
    answer: str


def charge(amount: int, state: Annotated[dict[str, Any], InjectedState]) -> str:
    """Charge an amount."""
    raise PermissionError(f"{state['key']} was refused")


def test_a_tool_that_fails_tells_the_model_no_secret(tmp_path: Path) -> None:
    heard: list[str] = []

    def done(messages: Any) -> str:
        heard.extend(str(message.content) for message in messages)
        return "done"

    model = ScriptedChatModel([Reply([{"name": "charge", "args": {"amount": 1}}]), done])
    flow = Workflow("charging", Asking).add_node("ask", agent(model, "Go", tools=[charge], writes="answer"))
    flow.add_node("charge", tool(charge, args={"amount": "topic"}, writes="answer", errors="result"))
    flow.add_edge(START, "ask").add_edge("ask", "charge").add_edge("charge", END)
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        result = runner.run({"topic": "1", "key": PLANTED}).raise_for_status()
    assert heard[-1] == f"`charge` failed. PermissionError: {MASK} was refused"
    assert result.output["answer"] == f"`charge` failed. PermissionError: {MASK} was refused"


class Login(BaseModel):
    user: str = "me"
    key: Annotated[str, Secret] = PLANTED


class Given(BaseModel):
    login: Login = Login()
    key: Annotated[str, Secret] = PLANTED
    topic: str = "rain"


def test_a_question_that_is_an_object_is_told_without_its_secrets(tmp_path: Path) -> None:
    def ask(state: Given) -> None:
        interrupt({"for": state.login})

    flow = Workflow("asking", Given).add_node("ask", ask, interrupts=1).add_edge(START, "ask")
    with Runner(flow.add_edge("ask", END), db=tmp_path / "runs.db") as runner:
        result = runner.run({"login": {"user": "me", "key": "of-the-input-71"}}, thread="t")
        kept = runner.ledger.get(result.run_id).interrupts
        assert result.interrupts[0]["value"] == kept[0]["value"] == {"for": {"user": "me", "key": MASK}}
        with pytest.raises(InputInvalid) as caught:
            runner.resume("t", {"a" * 32: True})
        assert "of-the-input-71" not in str(caught.value)


def test_a_schema_that_is_shown_has_no_secret_default() -> None:
    shown = TypeAdapter(Given).json_schema(schema_generator=ShownSchema)
    assert PLANTED not in repr(shown)
    assert shown["properties"]["topic"]["default"] == "rain"
    assert shown["$defs"]["Login"]["properties"] == {
        "user": {"default": "me", "title": "User", "type": "string"},
        "key": {"default": MASK, "title": "Key", "type": "string"},
    }


class Renamed(TypedDict, total=False):
    token: str


@pytest.mark.parametrize("schema", [State, Renamed])
@pytest.mark.parametrize("resumes", [True, False])
def test_a_migration_that_fails_repeats_no_secret_of_the_state_before(
    tmp_path: Path, schema: Any, resumes: bool
) -> None:
    def asking(version: str, schema: Any) -> Workflow:
        flow = Workflow("asking", schema, version=version)
        flow.add_node("ask", lambda state: interrupt("?") and {}, interrupts=1)
        return flow.add_edge(START, "ask").add_edge("ask", END)

    def repeating(state: dict[str, Any]) -> dict[str, Any]:
        raise ValueError(f"no place for {state['key']}")

    with Runner(asking("1", State), db=tmp_path / "runs.db") as runner:
        runner.run({"key": PLANTED}, thread="t")
        if not resumes:
            runner.resume("t", "yes")
    later = asking("2", schema).add_migration("1", repeating)
    with Runner(later, db=tmp_path / "runs.db") as runner, pytest.raises(InputInvalid) as caught:
        runner.resume("t", "yes") if resumes else runner.run({}, thread="t")
    assert f"raised ValueError: no place for {MASK}." in str(caught.value)
