"""What LangGraph had not begun when another node failed was not done, and has not failed either."""

from __future__ import annotations

import operator
import threading
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langgraph.errors import NodeError
from langgraph.graph import StateGraph
from langgraph.types import Command, Send

from dalsegno import END, START, Each, Runner, SqliteCheckpointer, Workflow

WIDTH = 60
"""More than LangGraph has threads: 32 at most, where nobody says how many."""


class State(TypedDict, total=False):
    path: Annotated[list[str], operator.add]


class Wide:
    """A fan-out of which the first task fails while the threads are taken and the others wait for one."""

    def __init__(self) -> None:
        self.is_broken = True
        self.ran: list[int] = []
        self.handled: list[Any] = []
        self._go_on = threading.Event()

    def graph(self, graph: Any) -> Any:
        def fails(_: Any) -> State:
            if self.is_broken:
                raise ValueError("fails")
            return {"path": ["fails"]}

        def work(number: int) -> State:
            self.ran.append(number)
            if self.is_broken:
                self._go_on.wait(0.2)  # what failed is noticed meanwhile
            return {"path": [f"work {number}"]}

        def sorry(state: State, error: NodeError) -> Command[Literal["end"]]:
            self.handled.append(error.error)
            return Command(update={"path": ["sorry"]}, goto="end")

        def sends(_: State) -> list[Send]:
            return [Send("fails", None), *(Send("work", number) for number in range(WIDTH))]

        graph.add_node("plan", lambda _: {}).add_node("fails", fails).add_node("end", lambda _: {})
        graph.add_node("work", work, error_handler=sorry)
        graph.add_edge(START, "plan").add_edge("fails", "end").add_edge("work", "end").add_edge("end", END)
        if isinstance(graph, Workflow):
            targets = [Each("fails", max=1), Each("work", max=WIDTH)]
            return graph.add_conditional_edges("plan", sends, targets, many=True)
        return graph.add_conditional_edges("plan", sends, ["fails", "work"])


EVERYTHING = sorted(["fails", *(f"work {number}" for number in range(WIDTH))])


@pytest.mark.usefixtures("threads_that_take_turns_often")
@pytest.mark.parametrize("kind", [Workflow, StateGraph])
def test_they_are_done_by_the_resume_and_not_handled(kind: Any, db: Path) -> None:
    wide = Wide()
    graph = wide.graph(Workflow("wide", State) if kind is Workflow else StateGraph(State))
    with Runner(graph, db=db) as runner:
        assert runner.run({"path": []}, thread="t1").status == "failed"
        assert len(wide.ran) < WIDTH, "all had a thread"
        wide.is_broken = False
        done = runner.resume("t1")
    assert done.status == "completed"
    assert wide.handled == []
    assert sorted(done.output["path"]) == EVERYTHING
    assert sorted(wide.ran) == list(range(WIDTH))


def test_so_they_are_with_the_checkpointer_alone(tmp_path: Path) -> None:
    wide = Wide()
    with SqliteCheckpointer(tmp_path / "runs.db") as saver:
        graph = wide.graph(StateGraph(State)).compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": "t1"}, "max_concurrency": 2}
        with pytest.raises(ValueError, match="fails"):
            graph.invoke({"path": []}, config)
        assert len(wide.ran) < WIDTH
        wide.is_broken = False
        assert sorted(graph.invoke(None, config)["path"]) == EVERYTHING
    assert wide.handled == []
