"""A graph sees the same history through this checkpointer as through LangGraph's in-memory one."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.types import Command, Send, interrupt

from dalsegno.checkpoints import Checkpointer

THREAD: Any = {"configurable": {"thread_id": "t"}}


class Inner(TypedDict):
    log: Annotated[list[str], operator.add]


class Outer(Inner):
    messages: Annotated[list[AnyMessage], add_messages]
    rounds: int


def build(saver: Any) -> Any:
    """A subgraph that interrupts, a fan-out, a loop, and messages replaced by id."""
    inner = StateGraph(Inner)
    inner.add_node("ask", lambda state: {"log": [interrupt("how?")]})
    inner.add_node("note", lambda state: {"log": ["noted"]})
    inner.add_edge(START, "ask")
    inner.add_edge("ask", "note")

    def again(state: Outer) -> Literal["work", "__end__"]:
        return "work" if state["rounds"] < 2 else END

    outer = StateGraph(Outer)
    outer.add_node("inner", inner.compile())
    outer.add_node("each", lambda sent: {"log": [f"each {sent['n']}"]})
    outer.add_node(
        "work",
        lambda state: {
            "rounds": state["rounds"] + 1,
            "messages": [AIMessage(f"round {state['rounds']}", id="same")],
        },
    )
    outer.add_edge(START, "inner")
    outer.add_conditional_edges("inner", lambda state: [Send("each", {"n": n}) for n in range(3)], ["each"])
    outer.add_edge("each", "work")
    outer.add_conditional_edges("work", again)
    return outer.compile(checkpointer=saver)


def history(app: Any) -> Iterator[Any]:
    for state in app.get_state_history(THREAD):
        tasks = sorted(
            (t.name, str(t.error), [i.value for i in t.interrupts], str(t.result)) for t in state.tasks
        )
        yield state.values, state.next, state.metadata["source"], state.metadata["step"], tasks


def play(saver: Any, durability: Any, colour: str) -> list[Any]:
    app = build(saver)

    def go(given: Any) -> Any:
        if colour == "sync":
            return app.invoke(given, THREAD, durability=durability)
        return asyncio.run(app.ainvoke(given, THREAD, durability=durability))

    first = go({"log": ["start"], "messages": [], "rounds": 0})
    inner = [state.values for state in app.get_state_history(app.get_state(THREAD).tasks[0].state)]
    last = go(Command(resume="so"))
    fork = app.update_state(list(app.get_state_history(THREAD))[:3][-1].config, {"log": ["forked"]})
    forked = app.invoke(None, fork, durability=durability)
    forked.pop("__interrupt__", None)  # its id is another one each time
    return [first["__interrupt__"][0].value, inner, last, forked, list(history(app))]


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_a_run_a_resume_and_a_fork_read_the_same(saver: Checkpointer, durability: str, colour: str) -> None:
    assert play(saver, durability, colour) == play(InMemorySaver(), durability, colour)
