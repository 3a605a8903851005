"""Nobody comes between what is seen of a thread's last run and the taking of the thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.types import interrupt

from dalsegno import END, START, Runner, Workflow
from dalsegno.errors import NothingToResume, ThreadBusy, ThreadUnfinished


class Draft(TypedDict, total=False):
    topic: str
    said: str


class Input(dict[str, Any]):
    """An input that takes its time to be read: something happens meanwhile."""

    def __init__(self, topic: str, meanwhile: Callable[[], object]) -> None:
        super().__init__(topic=topic)
        self.meanwhile: list[Callable[[], object]] = [meanwhile]

    def items(self) -> Any:
        if self.meanwhile:
            self.meanwhile.pop()()
        return super().items()


def ask(state: Draft) -> dict[str, Any]:
    return {"said": interrupt(f"Publish {state['topic']}?")}


def flow() -> Workflow:
    return (
        Workflow("asks", Draft).add_node("ask", ask, interrupts=1).add_edge(START, "ask").add_edge("ask", END)
    )


@contextmanager
def runners(path: Path, count: int) -> Iterator[list[Runner]]:
    made = [Runner(flow(), db=path) for _ in range(count)]
    try:
        yield made
    finally:
        for runner in made:
            runner.close()


def test_a_question_that_was_asked_since_is_not_dropped(tmp_path: Path) -> None:
    with runners(tmp_path / "runs.db", 2) as (ours, other):
        assert ours.run({"topic": "rain"}, thread="t").status == "interrupted"
        assert ours.resume("t", value="yes").status == "completed"
        with pytest.raises(ThreadUnfinished):
            ours.run(Input("hail", lambda: other.run({"topic": "snow"}, thread="t")), thread="t")
        assert ours.resume("t", value="no").output == {"topic": "snow", "said": "no"}


def test_a_question_that_was_asked_since_is_given_up_by_who_gives_up_all(tmp_path: Path) -> None:
    with runners(tmp_path / "runs.db", 2) as (ours, other):
        hail = Input("hail", lambda: other.run({"topic": "snow"}, thread="t"))
        assert ours.run(hail, thread="t", abandon=True).status == "interrupted"
        assert ours.resume("t", value="no").output == {"topic": "hail", "said": "no"}


def test_of_many_who_answer_at_once_one_does_and_its_end_stands(tmp_path: Path) -> None:
    with runners(tmp_path / "runs.db", 4) as made:
        for number in range(25):
            thread = f"t{number}"
            made[0].run({"topic": "rain"}, thread=thread)
            at_once = threading.Barrier(len(made))

            def answer(runner: Runner, thread: str = thread, at_once: threading.Barrier = at_once) -> str:
                at_once.wait(60)
                try:
                    return runner.resume(thread, value="yes").status
                except (ThreadBusy, NothingToResume) as error:
                    return type(error).__name__

            with ThreadPoolExecutor(len(made)) as pool:
                said = sorted(pool.map(answer, made))
            assert said.count("completed") == 1
            (run,) = made[0].ledger.runs(thread=thread)
            assert (run.status, run.resumes) == ("completed", 1)
