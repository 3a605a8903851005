"""Prebuilt agents are read without crashing and without a false "fine": their tool loop has no bound.

A test that fails here after an update of langchain or LangGraph shows what the prebuilt graph has become.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware, ModelCallLimitMiddleware
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, create_react_agent, tools_condition
from langgraph.types import Command
from langgraph_supervisor import create_supervisor
from langgraph_swarm import create_handoff_tool, create_swarm
from pydantic import BaseModel

from dalsegno import validate
from dalsegno.graphs.model import WorkflowSpec
from dalsegno.graphs.reading import read_graph

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


class Model(GenericFakeChatModel):
    """A model that is never called: reading runs nothing."""

    messages: Iterator[Any] = iter([AIMessage("never")])

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        return self


class Verdict(BaseModel):
    good: bool


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def jump() -> Command:  # type: ignore[type-arg]
    """Go somewhere else."""
    return Command(goto="elsewhere")


def react(**options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return create_react_agent(Model(), options.pop("tools", [add]), **options)


def agent(**options: Any) -> Any:
    return create_agent(Model(), options.pop("tools", [add]), **options)


def supervisor() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return create_supervisor([react(name="ann"), react(name="bob")], model=Model())


def swarm() -> Any:
    ann = agent(tools=[add, create_handoff_tool(agent_name="bob")], name="ann")
    bob = agent(tools=[create_handoff_tool(agent_name="ann")], name="bob")
    return create_swarm([ann, bob], default_active_agent="ann")


def by_hand() -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda state: {}).add_node("tools", ToolNode([add]))
    builder.add_edge(START, "model").add_edge("tools", "model")
    return builder.add_conditional_edges("model", tools_condition)


def found(graph: Any) -> list[tuple[str, tuple[str, ...]]]:
    return [(f.code, f.path) for f in validate(graph).findings]


def fan_outs(spec: WorkflowSpec) -> set[tuple[str, str]]:
    return {(e.source, e.target) for e in spec.edges if e.fans_out}


LOOPS = {
    "react": (react, ["T101", "T104"]),
    "react, one task for all tools": (lambda: react(version="v1"), ["T101", "T104"]),
    "react with hooks and a response format": (
        lambda: react(pre_model_hook=lambda s: {}, post_model_hook=lambda s: {}, response_format=Verdict),
        ["T101", "T104", "T104", "T104", "T104", "G004"],
    ),
    "react whose tool jumps": (lambda: react(tools=[jump]), ["G002", "T101", "T104"]),
    "langchain": (agent, ["T101", "T104"]),
    "langchain with a response format": (lambda: agent(response_format=Verdict), ["T101", "T104", "T104"]),
    "langchain with middleware": (
        lambda: agent(
            middleware=[ModelCallLimitMiddleware(run_limit=3), HumanInTheLoopMiddleware({"add": True})]
        ),
        ["T101", "T104", "T104"],
    ),
    "by hand": (by_hand, ["T101"]),
    "supervisor": (supervisor, ["T101", "T101", "T104", "T104", "T104", "T111", "T111"]),
    "swarm": (swarm, ["T101", "T101", "T101", "T104", "T104"]),
}


@pytest.mark.parametrize(("make", "codes"), LOOPS.values(), ids=LOOPS)
def test_an_agent_with_tools_has_these_findings_and_no_certificate(make: Any, codes: list[str]) -> None:
    made = make()
    for graph in (made, made.compile()) if isinstance(made, StateGraph) else (made,):
        report = validate(graph)
        assert not report.ok
        assert report.certificate is None
        assert [f.code for f in report.findings] == codes


def test_the_cycle_of_an_agent_goes_through_its_tools() -> None:
    assert found(react()) == [
        ("T101", (START, "agent", "tools", "agent")),
        ("T104", ("agent", "tools")),
    ]
    assert found(agent())[0] == ("T101", (START, "model", "tools", "model"))


def test_tools_are_sent_to_and_the_end_is_not() -> None:
    for graph, source in ((react(), "agent"), (agent(), "model")):
        spec = read_graph(graph)
        assert fan_outs(spec) == {(source, "tools")}
        assert (source, END) in {(e.source, e.target) for e in spec.edges}
        assert spec.nodes["tools"].kind == "tool"


def test_a_supervisor_runs_its_agents_out_of_sight_and_may_send_to_all_of_them() -> None:
    spec = read_graph(supervisor())
    assert spec.nodes["supervisor"].child is not None
    assert [(n.kind, n.child) for n in spec.nodes.values() if n.name in ("ann", "bob")] == [
        ("subworkflow", None)
    ] * 2
    assert fan_outs(spec) == {("supervisor", "ann"), ("supervisor", "bob")}


def test_the_agents_of_a_swarm_hand_over_to_each_other_or_end() -> None:
    spec = read_graph(swarm())
    ways = {(e.source, e.target) for e in spec.edges if e.kind == "command"}
    assert ways == {("ann", "bob"), ("ann", END), ("bob", "ann"), ("bob", END)}


def test_a_model_without_tools_is_one_superstep() -> None:
    for graph, codes in ((agent(tools=[]), []), (react(tools=[]), ["G004"])):
        report = validate(graph)
        assert report.ok
        assert [f.code for f in report.findings] == codes
        assert report.certificate is not None
        assert report.certificate.supersteps == 1
        assert report.certificate.model_calls is None


def test_an_agent_as_a_node_is_found_out_from_the_graph_around_it() -> None:
    builder = StateGraph(MessagesState).add_node("helper", agent())
    builder.add_edge(START, "helper").add_edge("helper", END)
    assert [(c, p[0]) for c, p in found(builder)] == [("T101", "helper"), ("T104", "helper")]
