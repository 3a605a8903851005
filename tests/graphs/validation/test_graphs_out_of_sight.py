"""A node that runs a graph by itself is found out, in a Workflow as in a LangGraph graph (T111)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.graph import StateGraph

from dalsegno import END, START, Runner, Workflow, validate


class State(TypedDict, total=False):
    said: str


def say(state: State) -> dict[str, str]:
    return {"said": "so"}


inner = StateGraph(State).add_node("say", say).add_edge(START, "say").add_edge("say", END).compile()
ours = Workflow("ours", State).add_node("say", say).add_edge(START, "say").add_edge("say", END)
runner = Runner(ours)


def by_a_global(state: State) -> Any:
    return inner.invoke(state)


async def by_a_coroutine(state: State) -> Any:
    return await inner.ainvoke(state)


def by_compiling(state: State) -> Any:
    return ours.compile().invoke(state)


def by_a_runner(state: State) -> Any:
    return runner.run(dict(state)).output


def by_a_runner_of_its_own(state: State) -> Any:
    return Runner(ours).run(dict(state)).output


def helper(state: State) -> Any:
    return inner.invoke(state)


def by_another_function(state: State) -> Any:
    return helper(state)


def by_a_default(state: State, graph: Any = inner) -> Any:
    return graph.invoke(state)


def by_making_one(state: State) -> Any:
    made = StateGraph(State).add_node("say", say).add_edge(START, "say")
    return made.compile().invoke(state)


def by_making_a_workflow(state: State) -> Any:
    return Workflow("made", State).add_node("say", say).add_edge(START, "say").compile().invoke(state)


def in_a_closure(graph: Any) -> Callable[[State], Any]:
    def node(state: State) -> Any:
        return graph.invoke(state)

    return node


class Team:
    def __init__(self, graph: Any) -> None:
        self.graph = graph

    def __call__(self, state: State) -> Any:
        return self.graph.invoke(state)

    def work(self, state: State) -> Any:
        return self.graph.invoke(state)

    def work_for_each(self, state: State) -> Any:
        return {"said": str([self.graph.invoke({"said": each}) for each in state["said"]])}


def by_a_default_for_each(state: State, graph: Any = inner) -> Any:
    return {"said": str([graph.invoke({"said": each}) for each in state["said"]])}


def in_a_class_body(graph: Any) -> Callable[[State], Any]:
    def node(state: State) -> Any:
        class Team:
            work = graph.invoke

        return Team.work(state)

    return node


def given(graph: Any, state: State) -> Any:
    return graph.invoke(state)


RUN: dict[str, Any] = {
    f.__name__: f
    for f in (
        *(
            by_a_global,
            by_a_coroutine,
            by_compiling,
            by_a_runner,
            by_a_runner_of_its_own,
            by_another_function,
        ),
        *(by_a_default, by_a_default_for_each, by_making_one, by_making_a_workflow),
    )
} | {
    "in a closure": in_a_closure(inner),
    "in a closure, in the body of a class": in_a_class_body(inner),
    "in a closure, a Workflow": in_a_closure(ours.compile()),
    "of an instance": Team(inner),
    "by a method": Team(inner).work,
    "by a method, for each": Team(inner).work_for_each,
    "by a partial": functools.partial(given, inner),
    "in a sequence": RunnableLambda(say) | inner,
    "in a runnable": RunnableLambda(by_a_global),
}


def named(state: State) -> dict[str, str]:
    return {"said": ours.name + str(inner.get_name())}


def drawn(state: State) -> dict[str, str]:
    return {"said": ours.to_mermaid()}


def asked(state: State) -> dict[str, str]:
    return {"said": str(inner.get_state({"configurable": {"thread_id": "1"}}))}


def asked_by_a_function_within(graph: Any) -> Callable[[State], Any]:
    def node(state: State) -> dict[str, str]:
        def asked(thread: str) -> Any:
            return graph.get_state({"configurable": {"thread_id": thread}})

        return {"said": str(asked("1"))}

    return node


SEEN: dict[str, Any] = {
    "no graph": say,
    "its name": named,
    "its picture": drawn,
    "its state": asked,
    "its state, by a function within": asked_by_a_function_within(inner),
    "a graph that is not called": Team(None),
    "the graph itself": inner,
    "the workflow itself": ours,
}


def around(node: Any) -> Workflow:
    return Workflow("outer", State).add_node("n", node).add_edge(START, "n").add_edge("n", END)


@pytest.mark.parametrize("how", RUN)
def test_a_graph_that_a_node_of_a_workflow_runs_is_told_as_unknown(how: str) -> None:
    report = validate(around(RUN[how]))
    (found,) = report.findings
    assert (found.code, found.path) == ("T111", ("n",))
    assert found.message == "`n` runs a graph that the check cannot see. Add that graph itself as the node."
    assert found.where is not None
    assert Path(found.where.rpartition(":")[0]) == Path(__file__)
    assert report.certificate is not None
    assert report.certificate.supersteps is None
    assert report.certificate.bounds["supersteps"].reason == "T111: what `n` runs is not known."


@pytest.mark.parametrize("how", SEEN)
def test_what_runs_no_graph_or_can_be_seen_is_not(how: str) -> None:
    report = validate(around(SEEN[how]))
    assert report.findings == ()
    assert report.certificate is not None
    assert report.certificate.supersteps is not None


def test_the_same_is_found_in_a_langgraph_graph() -> None:
    for how, node in RUN.items():
        builder = StateGraph(State).add_node("n", node).add_edge(START, "n").add_edge("n", END)
        assert [f.code for f in validate(builder).findings] == ["T111"], how


def test_what_a_person_knows_of_it_can_be_said_in_a_waiver() -> None:
    made = around(by_a_global).waive("T111", "n", "one superstep, no loop")
    assert validate(made).ok
    assert made.compile().invoke({}) == {"said": "so"}
