"""What a graph finds again after an error or a kill."""

from __future__ import annotations

import operator
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt

from dalsegno.checkpoints import Checkpointer, SqliteCheckpointer, open_checkpointer

THREAD: Any = {"configurable": {"thread_id": "t"}}


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


def say(name: str) -> Callable[[Log], Log]:
    def node(state: Log) -> Log:
        return {"log": [name]}

    return node


def fails_once() -> Callable[[Log], str]:
    calls: list[int] = []

    def router(state: Log) -> str:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("router")
        return "b"

    return router


def test_a_branch_has_its_own_values_where_a_node_seeds_random(saver: Checkpointer) -> None:
    """A version names a value on a server, and LangGraph draws a part of it from there."""
    said = ["rain"]

    def write(state: Log) -> Log:
        random.seed(42)
        return {"log": [said[-1] * 100]}

    graph = StateGraph(Log).add_node("write", write).add_node("end", lambda state: {})
    app = graph.add_edge(START, "write").add_edge("write", "end").compile(checkpointer=saver)
    app.invoke({"log": []}, THREAD)
    before = next(found for found in app.get_state_history(THREAD) if found.next == ("write",))
    said.append("snow")
    app.invoke(None, before.config)
    assert app.get_state(THREAD).values == {"log": ["snow" * 100]}


def test_a_run_whose_router_raised_routes_when_it_is_resumed(saver: Checkpointer) -> None:
    """LangGraph stores the node's writes beside the error, and would take the node for done."""
    graph = StateGraph(Log)
    graph.add_node("a", say("a"))
    graph.add_node("b", say("b"))
    graph.add_edge(START, "a")
    graph.add_conditional_edges("a", fails_once(), {"b": "b"})
    graph.add_edge("b", END)
    app = graph.compile(checkpointer=saver)
    with pytest.raises(RuntimeError, match="router"):
        app.invoke({"log": []}, THREAD, durability="sync")
    assert [task.name for task in app.get_state(THREAD).tasks] == ["a"]
    assert "router" in str(app.get_state(THREAD).tasks[0].error)
    assert app.invoke(None, THREAD, durability="sync") == {"log": ["a", "b"]}


def test_what_a_node_was_answered_and_how_it_failed_last_are_kept_where_its_router_raises(
    saver: Checkpointer,
) -> None:
    failures = ["first", "second"]

    def router(state: Log) -> str:
        if failures:
            raise RuntimeError(failures.pop(0))
        return "b"

    graph = StateGraph(Log)
    graph.add_node("a", lambda state: {"log": [interrupt("who?"), interrupt("when?")]})
    graph.add_node("b", say("b"))
    graph.add_edge(START, "a")
    graph.add_conditional_edges("a", router, {"b": "b"})
    app = graph.compile(checkpointer=saver)

    def answer(given: str) -> Any:
        (asked,) = app.get_state(THREAD).interrupts
        return app.invoke(Command(resume={asked.id: given}), THREAD, durability="sync")

    app.invoke({"log": []}, THREAD, durability="sync")
    assert answer("I")["__interrupt__"][0].value == "when?"
    with pytest.raises(RuntimeError, match="first"):
        answer("now")
    with pytest.raises(RuntimeError, match="second"):
        app.invoke(None, THREAD, durability="sync")
    assert "second" in str(app.get_state(THREAD).tasks[0].error)
    assert app.invoke(None, THREAD, durability="sync") == {"log": ["I", "now", "b"]}


def test_a_newer_answer_replaces_an_older_one_also_beside_an_update(saver: Checkpointer) -> None:
    graph = StateGraph(Log)
    graph.add_node("a", lambda state: {"log": [interrupt("who?")]})
    graph.add_edge(START, "a")
    app = graph.compile(checkpointer=saver, interrupt_before=["a"])
    app.invoke({"log": []}, THREAD, durability="sync")
    at = app.get_state(THREAD).config
    for given in (Command(resume="old", goto="a"), Command(resume="new", goto="a")):
        app.invoke(given, at, durability="sync")
    kept = saver.get_tuple(at)
    assert kept is not None
    assert next(value for _, channel, value in kept.pending_writes or () if channel == "__resume__") == "new"


def test_a_sibling_that_was_done_is_kept_when_another_branch_fails(saver: Checkpointer) -> None:
    ran: list[str] = []

    def note(name: str, fail: list[bool]) -> Callable[[Log], Log]:
        def node(state: Log) -> Log:
            ran.append(name)
            if fail and fail.pop():
                raise RuntimeError(name)
            return {"log": [name]}

        return node

    graph = StateGraph(Log)
    graph.add_node("good", note("good", []))
    graph.add_node("bad", note("bad", [True]))
    graph.add_edge(START, "good")
    graph.add_edge(START, "bad")
    app = graph.compile(checkpointer=saver)
    with pytest.raises(RuntimeError, match="bad"):
        app.invoke({"log": []}, {**THREAD, "max_concurrency": 1}, durability="sync")
    first = ran.count("good")
    assert sorted(app.invoke(None, THREAD, durability="sync")["log"]) == ["bad", "good"]
    assert ran.count("good") == max(first, 1)


def handled_graph(saver: Checkpointer, ran: Path, kill: Callable[[], None]) -> Any:
    def a(state: Log) -> Log:
        with open(ran, "a") as file:
            file.write("a")
        return {"log": ["a"]}

    def router(state: Log) -> str:
        raise RuntimeError("router")

    def handler(state: Log) -> Command[Any]:
        kill()
        return Command(update={"log": ["handled"]}, goto="b")

    graph = StateGraph(Log)
    graph.add_node("a", a, error_handler=handler)
    graph.add_node("b", say("b"))
    graph.add_edge(START, "a")
    graph.add_conditional_edges("a", router, {"b": "b"})
    graph.add_edge("b", END)
    return graph.compile(checkpointer=saver)


def test_a_kill_in_an_error_handler_ends_like_the_undisturbed_run(
    url: str, tmp_path: Path, child: Any
) -> None:
    """A handled failure goes on with what the node wrote, so those writes are kept for the resume."""
    ran = tmp_path / "ran"
    with SqliteCheckpointer(tmp_path / "undisturbed.db") as saver:
        app = handled_graph(saver, tmp_path / "undisturbed", lambda: None)
        undisturbed = app.invoke({"log": []}, THREAD, durability="sync")

    def body(tell: Callable[[str], None]) -> None:
        with open_checkpointer(url) as saver:
            app = handled_graph(saver, ran, lambda: os.kill(os.getpid(), signal.SIGKILL))
            app.invoke({"log": []}, THREAD, durability="sync")

    assert child(body).wait() == -signal.SIGKILL
    with open_checkpointer(url) as saver:
        resumed = handled_graph(saver, ran, lambda: None).invoke(None, THREAD, durability="sync")
    assert resumed == undisturbed == {"log": ["a", "handled", "b"]}
    assert ran.read_text() == "a"


def fan_out(saver: Checkpointer, ran: Path) -> Any:
    """a, then three sends to w, then a loop of two rounds, each execution noted in a file."""

    def note(name: str) -> None:
        with open(ran, "a") as file:
            file.write(name + "\n")

    def node(name: str) -> Callable[[Any], Log]:
        def run(state: Any) -> Log:
            name_ = f"{name}{state['n']}" if "n" in state else name
            note(name_)
            return {"log": [name_]}

        return run

    graph = StateGraph(Log)
    for name in ("a", "w", "again", "z"):
        graph.add_node(name, node(name))
    graph.add_edge(START, "a")
    graph.add_conditional_edges("a", lambda s: [Send("w", {"n": n}) for n in range(3)], ["w"])
    graph.add_edge("w", "again")
    graph.add_conditional_edges(
        "again", lambda s: "again" if s["log"].count("again") < 2 else "z", ["again", "z"]
    )
    return graph.compile(checkpointer=saver)


@pytest.mark.parametrize("linger", [0, 0.002])
def test_killed_at_every_commit_a_run_resumes_to_the_same_end(
    tmp_path: Path, child: Any, linger: float
) -> None:
    counted = SqliteCheckpointer(tmp_path / "undisturbed.db", linger=linger)
    expected = fan_out(counted, tmp_path / "ran").invoke({"log": []}, THREAD, durability="sync")
    commits = counted.database.commits
    executions = len((tmp_path / "ran").read_text().split())
    assert commits >= (12 if linger == 0 else 6)
    for n in range(1, commits + 1):
        database, ran = tmp_path / f"{n}.db", tmp_path / f"ran{n}"

        def body(tell: Callable[[str], None], n: int = n, database: Path = database, ran: Path = ran) -> None:
            saver = SqliteCheckpointer(database, linger=linger)
            saver.database.on_commit.append(
                lambda commit: os.kill(os.getpid(), signal.SIGKILL) if commit == n else None
            )
            fan_out(saver, ran).invoke({"log": []}, THREAD, durability="sync")

        # Where writes linger, how many share a commit is another number each time.
        assert child(body).wait() in ({-signal.SIGKILL} if linger == 0 else {-signal.SIGKILL, 0})
        with SqliteCheckpointer(database) as saver:
            app = fan_out(saver, ran)
            started = saver.get_tuple(THREAD) is not None
            result = app.invoke(None if started else {"log": []}, THREAD, durability="sync")
            with saver.database.read() as connection:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert sorted(result["log"]) == sorted(expected["log"]), n
        assert result["log"][-3:] == expected["log"][-3:]
        # What was in flight at the kill may run again: at most the three sends of one superstep.
        assert len(ran.read_text().split()) <= executions + 3


def test_an_interrupt_is_answered_in_another_process(url: str, child: Any) -> None:
    def build(saver: Checkpointer) -> Any:
        def ask(state: Log) -> Log:
            return {"log": [interrupt("how?")]}

        graph = StateGraph(Log)
        graph.add_node("ask", ask)
        graph.add_edge(START, "ask")
        return graph.compile(checkpointer=saver)

    def body(tell: Callable[[str], None]) -> None:
        with open_checkpointer(url) as saver:
            build(saver).invoke({"log": []}, THREAD, durability="sync")

    assert child(body).wait() == 0
    with open_checkpointer(url) as saver:
        app = build(saver)
        assert [i.value for i in app.get_state(THREAD).interrupts] == ["how?"]
        assert app.invoke(Command(resume="so"), THREAD, durability="sync") == {"log": ["so"]}
