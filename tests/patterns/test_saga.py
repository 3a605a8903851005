"""A saga takes back what was done, in reverse order of its completion, and says what it could not take back."""

from __future__ import annotations

import itertools
import operator
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import pytest
from langgraph.types import Command
from pydantic import BaseModel, Field

from dalsegno import RetryPolicy, Runner
from dalsegno.errors import DefinitionError, UnknownStateKey, WorkflowInvalid
from dalsegno.graphs.patterns import Node, Saga, SagaStep, Step, saga, sequential
from dalsegno.graphs.patterns.saga import Completed, by_time
from dalsegno.graphs.patterns.states import Failure, merged
from dalsegno.testing import crash_test


def nothing(state: Any) -> None:
    """Undoes nothing."""


def refuse(state: Any) -> str:
    raise PermissionError("refused")


def step(name: str, done: list[str], **options: Any) -> SagaStep:
    """A step that writes down what is done and undone."""

    def do(state: Any) -> str:
        done.append(name)
        return name.upper()

    def undo(state: Any) -> None:
        assert state["results"][name] == name.upper()
        done.append(f"undo {name}")

    return SagaStep(do, compensate=Node(undo, **options), name=name)


def test_what_was_done_is_undone_backwards() -> None:
    done: list[str] = []
    output = (
        saga([step("a", done), step("b", done), step("c", done), refuse]).compile().invoke({"request": 1})
    )
    assert done == ["a", "b", "c", "undo c", "undo b", "undo a"]
    assert output["outcome"] == "undone"
    assert output["undone"] == ["c", "b", "a"]
    assert output["failures"] == [{"name": "refuse", "error": "PermissionError", "message": "refused"}]


@pytest.mark.parametrize("answer", ["released", {"released": 7}, {"status": "ok", "id": 3}, [1], 0, None, {}])
def test_what_a_compensation_answers_is_dropped(answer: Any) -> None:
    """Such as the answer of the service that it asked; an update of the state is none."""
    steps = [SagaStep(nothing_given, compensate=lambda state: answer), refuse]
    output = saga(steps).compile().invoke({"request": 1})
    assert (output["outcome"], output["undone"]) == ("undone", ["nothing_given"])
    row = [Step(nothing_given, compensate=lambda state: answer), Step(refuse, on_error="compensate")]
    assert sequential(row).compile().invoke({"value": 1})["value"] == "given"


def test_a_compensation_may_answer_with_an_update_of_the_state() -> None:
    row = [Step(nothing_given, compensate=lambda state: {"value": 0}), Step(refuse, on_error="compensate")]
    assert sequential(row).compile().invoke({"value": 1})["value"] == 0
    row[0] = Step(nothing_given, compensate=lambda state: {"value": 0, "vlaue": 1})
    with pytest.raises(UnknownStateKey, match=r"`vlaue`.* did you mean `value`"):
        sequential(row).compile().invoke({"value": 1})


class Noted(Saga, total=False):
    note: str


class NotedObject(BaseModel):
    request: Any = None
    results: Annotated[dict[str, Any], merged] = Field(default_factory=dict)
    completed: Annotated[list[Completed], by_time] = Field(default_factory=list)
    failures: Annotated[list[Failure], operator.add] = Field(default_factory=list)
    undone: Annotated[list[str], operator.add] = Field(default_factory=list)
    not_undone: Annotated[list[Failure], operator.add] = Field(default_factory=list)
    outcome: str | None = None
    note: str | None = None


@pytest.mark.parametrize(
    ("schema", "answers"),
    [
        (Noted, lambda **update: Command(update=update)),
        (Noted, lambda **update: [Command(), update]),
        (NotedObject, NotedObject),
    ],
    ids=["a command", "several", "an object of the state"],
)
def test_what_a_step_and_its_compensation_may_answer_with(schema: Any, answers: Any) -> None:
    steps = [
        SagaStep(
            lambda state: answers(results={"a": 1}), name="a", compensate=lambda state: answers(note="undone")
        ),
        refuse,
    ]
    output = saga(steps, state=schema).compile().invoke({"request": 1})
    assert ([done["step"] for done in output["completed"]], output["results"]) == (["a"], {"a": 1})
    assert (output["undone"], output["note"], output["outcome"]) == (["a"], "undone", "undone")


def test_without_a_failure_nothing_is_undone() -> None:
    done: list[str] = []
    output = saga([step("a", done), step("b", done)]).compile().invoke({"request": 1})
    assert done == ["a", "b"]
    assert (output["outcome"], output["results"]) == ("done", {"a": "A", "b": "B"})


def test_steps_that_run_at_once_are_undone_in_reverse_order_of_their_completion() -> None:
    quick_is_done = threading.Event()
    ticks = itertools.count(1.0)

    def clock() -> float:
        quick_is_done.set()  # it is asked when a step is done
        return next(ticks)

    def slow(state: Any) -> str:
        assert quick_is_done.wait(10)
        return "after the other one"

    group = [SagaStep(slow, compensate=nothing), SagaStep(nothing_given, compensate=nothing)]
    output = saga([group, refuse], clock=clock).compile().invoke({"request": 1})
    assert output["undone"] == ["slow", "nothing_given"]


def test_a_clock_that_is_set_back_does_not_change_the_order_of_the_way_back() -> None:
    done: list[str] = []
    times = iter([300.0, 200.0, 100.0])
    flow = saga(
        [step("a", done), step("b", done), step("c", done), refuse],
        clock=lambda: next(times),
    )
    assert flow.compile().invoke({"request": 1})["undone"] == ["c", "b", "a"]


def test_one_of_a_group_that_fails_takes_back_the_others_of_it() -> None:
    done: list[str] = []
    output = saga([step("a", done), [step("b", done), refuse]]).compile().invoke({"request": 1})
    assert output["undone"] == ["b", "a"]


def test_a_compensation_has_its_own_retry() -> None:
    tries: list[int] = []

    def shaky(state: Any) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("not now")

    undo = Node(shaky, retry=RetryPolicy(max_attempts=3, initial_interval=0.001, jitter=False))
    output = saga([SagaStep(nothing_given, compensate=undo), refuse]).compile().invoke({"request": 1})
    assert (len(tries), output["outcome"]) == (3, "undone")


def nothing_given(state: Any) -> str:
    return "given"


def test_a_compensation_that_fails_does_not_stop_the_others() -> None:
    done: list[str] = []
    broken = SagaStep(nothing_given, compensate=refuse, name="broken")
    output = saga([step("a", done), broken, refuse]).compile().invoke({"request": 1})
    assert output["outcome"] == "partly undone"
    assert output["undone"] == ["a"]
    assert output["not_undone"] == [{"name": "broken", "error": "PermissionError", "message": "refused"}]


def test_killed_anywhere_also_in_the_rollback_it_goes_on_to_the_same_end() -> None:
    steps = [SagaStep(nothing_given, compensate=nothing, name=name) for name in ("a", "b")]
    report = crash_test(saga([*steps, refuse], clock=lambda: 0.0), {"request": 1})
    assert report.ok
    assert report.kills > 8


def test_the_outcome_can_be_asked_for_afterwards(tmp_path: Path) -> None:
    flow = saga([SagaStep(nothing_given, compensate=refuse), refuse], clock=time.time)
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        runner.run({"request": 1}, thread="t")
        state = runner.graph.get_state({"configurable": {"thread_id": "t"}}).values
    assert state["outcome"] == "partly undone"


def test_a_step_with_nothing_to_undo_it_is_refused_before_anything_is_done() -> None:
    with pytest.raises(WorkflowInvalid, match="R401"):
        saga([nothing_given, refuse]).compile()


def test_a_step_without_an_effect_needs_no_compensation() -> None:
    flow = saga([SagaStep(nothing_given, effect=False), refuse])
    assert flow.compile().invoke({"request": 1})["outcome"] == "undone"


def test_compensations_are_edges_of_the_model() -> None:
    spec = saga([SagaStep(nothing_given, compensate=nothing), refuse]).spec
    assert spec.nodes["nothing_given"].compensate == "undo nothing_given"


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "no steps, and at least 1 is needed"),
        ([[]], "no steps, and at least 1 is needed"),
        ("book", "are no steps"),
        ([refuse, refuse], "two steps are called `refuse`"),
    ],
)
def test_steps_that_cannot_be_meant_are_refused(steps: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        saga(steps)
