"""Loops, fan-ins, joins, questions and failures inside each other: over every pattern that has the shape.

A node is made to fail by its run's own listener, so nothing of a pattern is changed; then the run is resumed.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import networkx as nx
import pytest
from langgraph.types import interrupt
from pattern_case import Case, cases

from dalsegno import END, START, Loop, Runner, Workflow
from dalsegno.graphs.model import WorkflowSpec
from dalsegno.graphs.patterns import Node, approval, parallel, sequential
from dalsegno.runtime.events import Event, NodeStarted
from dalsegno.runtime.result import RunResult

CASES = cases()


ONE_AT_A_TIME = {"planner_executor", "tool_selection"}
"""Their cases go the longest way, on which no superstep has two nodes."""


def has_loop(case: Case) -> bool:
    return any(edge.loop for edge in case.flow().spec.edges)


def has_fan_in_within_a_loop(spec: WorkflowSpec) -> bool:
    """Whether several tasks of one superstep come together again in a node that a loop comes back to."""
    graph = nx.DiGraph((s, e.target) for e in spec.edges if e.target for s in e.origins)
    home = {
        n: i
        for i, nodes in enumerate(nx.strongly_connected_components(graph))
        for n in nodes
        if len(nodes) > 1
    }
    gathers = (e for e in spec.edges if e.kind == "join" or e.fans_out)
    return any(home.get(e.target) is not None and home.get(e.source) == home.get(e.target) for e in gathers)


def has_branches(case: Case) -> bool:
    return any(edge.kind == "join" or edge.fans_out for edge in case.flow().spec.edges)


class Failing:
    """Fails the first start of a node that is meant, once."""

    def __init__(self, meant: Callable[[NodeStarted], bool]) -> None:
        self.meant = meant
        self.failed: str | None = None
        self.done: Counter[tuple[Any, ...]] = Counter()

    def __call__(self, event: Event) -> None:
        if type(event) is not NodeStarted:
            return
        if self.failed is None and self.meant(event):
            self.failed = event.node
            raise ConnectionError("the line was cut")


def answered(runner: Runner, result: RunResult, case: Case) -> RunResult:
    """The run, its questions answered."""
    for _ in range(8):
        if result.status != "interrupted":
            break
        (answer,) = (case.answers or {}).values()
        value = {i["id"]: answer for i in result.interrupts}
        result = runner.resume("t", value)
    return result


def undisturbed(flow: Workflow, given: dict[str, Any], case: Case, folder: Path) -> RunResult:
    with Runner(flow, db=folder / "undisturbed.db") as runner:
        return answered(runner, runner.run(given, thread="t"), case)


def failed_and_resumed(
    flow: Workflow, given: dict[str, Any], case: Case, folder: Path, meant: Callable[[NodeStarted], bool]
) -> tuple[RunResult, str | None]:
    """The run, failed once where it is meant, resumed to its end; and the node that failed."""
    failing = Failing(meant)
    with Runner(flow, db=folder / "failed.db", on_event=failing) as runner:
        result = answered(runner, runner.run(given, thread="t"), case)
        if failing.failed is not None:
            assert result.status == "failed", failing.failed
            assert result.error is not None
            assert result.error["message"] == "the line was cut"
            result = answered(runner, runner.resume("t"), case)
        executions = Counter(
            (record.node, record.occurrence, record.index)
            for record in runner.ledger.executions(result.run_id)
            if record.status == "done"
        )
        assert max(executions.values()) == 1, "something that was committed was done again"
    return result, failing.failed


def same(one: RunResult, other: RunResult) -> bool:
    return (one.status, one.output, one.supersteps) == (other.status, other.output, other.supersteps)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if has_loop(case)])
def test_the_second_time_round_a_loop_is_the_same_after_a_failure_in_it(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    second = failed_and_resumed(
        case.flow(), dict(case.given), case, tmp_path, lambda e: e.occurrence == 2 and "/" not in e.node
    )
    assert same(second[0], undisturbed(case.flow(), dict(case.given), case, tmp_path))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if has_branches(case)])
def test_where_one_of_several_fails_the_others_are_not_done_again(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    count = itertools.count()
    steps: dict[int, int] = {}

    def second_of_a_superstep(event: NodeStarted) -> bool:
        steps[event.superstep] = steps.get(event.superstep, 0) + 1
        return "/" not in event.node and steps[event.superstep] == 2 and next(count) == 0

    result, failed = failed_and_resumed(case.flow(), dict(case.given), case, tmp_path, second_of_a_superstep)
    assert failed is not None or name in ONE_AT_A_TIME
    assert same(result, undisturbed(case.flow(), dict(case.given), case, tmp_path))


def test_there_are_patterns_with_a_fan_in_inside_a_loop() -> None:
    found = {name for name, case in CASES.items() if has_fan_in_within_a_loop(case.flow().spec)}
    assert {"supervisor", "planner_executor", "choreography"} <= found


@pytest.mark.parametrize("name", CASES)
def test_a_failure_in_a_nested_workflow_is_gone_on_from(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    state = TypedDict("Outer", {"value": Any, **dict.fromkeys(case.given, Any)}, total=False)  # type: ignore[misc]
    inner = Node(
        case.flow(), name="inner", inputs={key: key for key in case.given}, outputs={"value": case.gives}
    )

    def flow() -> Workflow:
        return sequential({"before": before, "inner": inner, "after": after}, state=_with_failures(state))

    seen: list[str] = []

    def before(state: Any) -> Any:
        return case.given.get("value", "begun")

    def after(state: Any) -> str:
        seen.append("after")
        return repr(state["value"])

    nodes = Counter[str]()

    def second_inner(event: NodeStarted) -> bool:
        nodes[event.node] += 1
        return event.node.startswith("inner/") and sum(n.startswith("inner/") for n in nodes) == 2

    result, failed = failed_and_resumed(flow(), dict(case.given), case, tmp_path, second_inner)
    assert failed is not None
    assert same(result, undisturbed(flow(), dict(case.given), case, tmp_path))
    assert len(seen) == 2


def _with_failures(state: Any) -> Any:
    from typing import get_type_hints

    from dalsegno.graphs.patterns import Sequential

    base = get_type_hints(Sequential, include_extras=True)
    return TypedDict("Both", {**get_type_hints(state, include_extras=True), **base}, total=False)  # type: ignore[misc]


def test_branches_of_unequal_length_come_together_once(tmp_path: Path) -> None:
    joined: list[int] = []

    def combine(state: Any) -> list[Any]:
        joined.append(len(state["results"]))
        return sorted(state["results"].values())

    long = sequential([lambda_step("a"), lambda_step("b"), lambda_step("c")], name="long")
    flow = parallel(
        {"short": lambda state: "x", "long": Node(long, outputs={"results": "value"})}, combine=combine
    )
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        result = runner.run({"value": ""}, thread="t")
    assert result.output["value"] == ["abc", "x"]
    assert joined == [2]


def lambda_step(letter: str) -> Node:
    return Node(lambda state: state["value"] + letter, name=letter)


def test_a_branch_that_is_bypassed_does_not_starve_the_join(tmp_path: Path) -> None:
    def fails(state: Any) -> str:
        raise ConnectionError("down")

    flow = parallel(
        {"good": lambda state: "good", "bad": fails},
        combine=lambda state: sorted(state["results"]),
        on_error="collect",
    )
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        result = runner.run({"value": 1}, thread="t")
    assert (result.status, result.output["value"]) == ("completed", ["good"])


def test_a_question_inside_a_loop_is_asked_anew_each_time_round(tmp_path: Path) -> None:
    asked: list[Any] = []

    def propose(state: Any) -> str:
        return "draft"

    def act(state: Any) -> str:
        return "done"

    def revise(state: Any) -> str:
        asked.append(state["proposal"])
        return state["proposal"] + "!"

    flow = approval(propose, act, reviser=revise, revisions=2)
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        result = runner.run({"request": "x"}, thread="t")
        for answer in (False, False, True):
            assert result.status == "interrupted"
            result = runner.resume("t", {"approved": answer})
    assert result.status == "completed"
    assert asked == ["draft", "draft!"]


def test_two_questions_of_one_node_in_a_loop_each_get_their_own_answer(tmp_path: Path) -> None:
    class State(TypedDict, total=False):
        said: list[Any]

    def asks(state: State) -> dict[str, Any]:
        return {"said": [*state.get("said", []), interrupt("first?"), interrupt("second?")]}

    flow = Workflow("asking", State).add_node("asks", asks, interrupts=2).add_edge(START, "asks")
    flow.add_conditional_edges(
        "asks",
        lambda state: "again" if len(state["said"]) < 4 else "done",
        {"again": Loop("asks", max=1, on_exhausted=END), "done": END},
    )
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        result = runner.run({}, thread="t")
        for answer in "abcd":
            assert result.status == "interrupted"
            result = runner.resume("t", answer)
    assert result.output == {"said": ["a", "b", "c", "d"]}
