"""Whatever its routers choose, a run never goes beyond its certificate."""

from __future__ import annotations

import operator
import random
from itertools import groupby
from typing import Annotated, Any, Literal, TypedDict

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, Send, interrupt

from dalsegno import END, START, Each, Loop, Workflow


class State(TypedDict, total=False):
    ran: Annotated[list[tuple[int, str]], operator.add]


Shape = list[tuple[str, list[int], list[tuple[int, int]]]]
"""For each node: how it goes on, its forward targets, and its loops (target, max)."""


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    size = draw(st.integers(2, 6))
    shape: Shape = []
    for number in range(size):
        kind = draw(st.sampled_from(["static", "choice", "many", "each"]))
        later = [*range(number + 1, size), size]
        forward = draw(st.lists(st.sampled_from(later), min_size=1, max_size=2, unique=True))
        loops = []
        if kind in ("choice", "many"):
            back = st.tuples(st.integers(0, number), st.integers(0, 2))
            loops = draw(st.lists(back, max_size=2, unique_by=lambda pair: pair[0]))
        shape.append((kind, forward, loops))
    return shape


def built(shape: Shape, chance: random.Random, *, asking: bool = False) -> Workflow:
    names = [f"n{i}" for i in range(len(shape))] + [END]

    def node(name: str) -> Any:
        def run(state: State, config: RunnableConfig) -> dict[str, Any]:
            if asking and chance.random() < 0.2:
                interrupt(name)
            return {"ran": [(config["metadata"]["langgraph_step"], name)]}

        return run

    flow = Workflow("random", State)
    for name in names[:-1]:
        flow.add_node(name, node(name), interrupts=int(asking))
    flow.add_node("worker", node("worker"), interrupts=int(asking))
    flow.add_edge("worker", END)
    flow.add_edge(START, "n0")
    for number, (kind, forward, loops) in enumerate(shape):
        source, targets = names[number], [names[t] for t in forward]
        if kind == "static":
            for target in targets:
                flow.add_edge(source, target)
        elif kind == "each":
            answers = [Each("worker", max=3), *targets]
            flow.add_conditional_edges(source, _fans(chance, targets), answers)
        else:
            labels: dict[Any, Any] = {f"to {t}": t for t in targets}
            labels |= {
                f"back to {names[t]}": Loop(names[t], max=k, on_exhausted=targets[0]) for t, k in loops
            }
            flow.add_conditional_edges(
                source, _chooses(chance, list(labels), kind), labels, many=kind == "many"
            )
    return flow


def _chooses(chance: random.Random, labels: list[str], kind: str) -> Any:
    def choose(state: State) -> Any:
        if kind == "choice":
            return chance.choice(labels)
        return chance.sample(labels, chance.randint(1, len(labels)))

    return choose


def _fans(chance: random.Random, targets: list[str]) -> Any:
    def fan(state: State) -> Any:
        count = chance.randint(0, 3)
        return [Send("worker", {}) for _ in range(count)] or chance.choice(targets)

    return fan


def valid(flow: Workflow) -> Any:
    report = flow.validate()
    assume(report.ok)
    return report.certificate


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(shapes(), st.integers(0, 2**20))
def test_random_choices_stay_within_the_certificate(shape: Shape, seed: int) -> None:
    chance = random.Random(seed)
    flow = built(shape, chance)
    certificate = valid(flow)
    graph = flow.compile()
    for _ in range(5):
        ran = graph.invoke({"ran": []})["ran"]
        assert len({step for step, _ in ran}) <= certificate.supersteps
        assert len(ran) <= certificate.executions
        for name, most in certificate.executions_by_node.items():
            assert sum(1 for _, n in ran if n == name) <= most


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(shapes(), st.integers(0, 2**20))
def test_random_choices_stay_within_it_over_interrupts_and_second_turns(shape: Shape, seed: int) -> None:
    chance = random.Random(seed)
    flow = built(shape, chance, asking=True)
    certificate = valid(flow)
    graph = flow.compile(InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    before = 0
    for _ in range(2):
        result = graph.invoke({"ran": []}, config)
        for _ in range(200):
            if "__interrupt__" not in result:
                break
            answers = {i.id: "go on" for i in result["__interrupt__"]}
            result = graph.invoke(Command(resume=answers), config)
        ran = result["ran"][before:]
        before = len(result["ran"])
        assert len({step for step, _ in ran}) <= certificate.supersteps
        assert len(ran) <= certificate.executions


def test_a_handler_that_goes_to_several_nodes_starts_branches_side_by_side() -> None:
    ran: list[str] = []

    def fail(state: State) -> State:
        raise RuntimeError

    def handle(state: State) -> Command[Literal["repair", "tell"]]:
        return Command(goto=["repair", "tell"])

    flow = Workflow("handled", State).add_node("pay", fail, error_handler=handle)
    flow.add_node("repair", lambda state: ran.append("repair"))
    flow.add_node("tell", lambda state: ran.append("tell"))
    flow.add_edge(START, "pay").add_edge("pay", "tell").add_edge("repair", "tell").add_edge("tell", END)
    certificate = flow.validate().certificate
    flow.compile().invoke({})
    assert sorted(ran) == ["repair", "tell", "tell"]
    assert certificate is not None
    assert certificate.supersteps == 3
    assert certificate.executions == 1 + len(ran)
    assert certificate.executions_by_node["tell"] == 2


def test_a_task_that_is_sent_to_a_deferred_node_does_not_wait() -> None:
    ran: list[str] = []
    flow = Workflow("sent", State)
    for name in ("split", "beside", "late", "after"):
        flow.add_node(name, lambda state, name=name: ran.append(name), defer=name == "late")
    flow.add_edge(START, "split").add_edge("split", "beside").add_edge("split", "late")
    flow.add_conditional_edges("split", lambda state: [Send("late", {})], [Each("late", max=1), END])
    flow.add_edge("late", "after").add_edge("beside", END).add_edge("after", END)
    flow.compile().invoke({})
    assert sorted(ran[1:3]) == ["beside", "late"]
    assert ran[3:] == ["after", "late", "after"]
    for exact in (False, True):
        certificate = flow.validate(exact=exact).certificate
        assert certificate is not None
        assert certificate.supersteps == 5


def test_tasks_that_are_sent_do_not_hold_back_a_deferred_node() -> None:
    """So what is sent may trigger the next deferred node, while what follows the first one holds it back."""
    ran: list[str] = []
    flow = Workflow("sent", State)
    for name in ("split", "worker", "early", "after", "late"):
        flow.add_node(name, lambda state, name=name: ran.append(name), defer=name in ("early", "late"))
    flow.add_edge(START, "split").add_edge("split", "early").add_edge("early", "after").add_edge("after", END)
    flow.add_conditional_edges("split", lambda state: [Send("worker", {})], [Each("worker", max=1), END])
    flow.add_edge("worker", "late").add_edge("late", END)
    flow.compile().invoke({})
    assert sorted(ran[1:3]) == ["early", "worker"]
    assert ran[3:] == ["after", "late"]
    certificate = flow.validate(exact=True).certificate
    assert certificate is not None
    assert certificate.supersteps == 4


@pytest.mark.parametrize(("deferred", "longest"), [(False, "a b; a c; b; c"), (True, "a b; a; c; b")])
def test_a_join_of_a_deferred_node_takes_what_arrives_until_that_node_runs_for_one(
    deferred: bool, longest: str
) -> None:
    """So nothing is left in it for a second time, and the longest run of all is the shorter."""
    pytest.importorskip("scipy", reason="the extra `exact` is not installed")
    ran: list[tuple[int, str]] = []

    def node(name: str) -> Any:
        def run(state: State, config: RunnableConfig) -> None:
            ran.append((config["metadata"]["langgraph_step"], name))

        return run

    flow = Workflow("late", State)
    for name in "abc":
        flow.add_node(name, node(name), defer=deferred and name == "c")
    flow.add_edge(START, "a").add_edge(START, "b").add_edge(["a", "b"], "c")
    for source, target in ("aa", "cb"):
        again = Loop(target, max=1, on_exhausted=END)
        flow.add_conditional_edges(source, lambda state: "again", {"again": again, "ok": END})
    flow.compile().invoke({})
    steps = groupby(sorted(ran), key=lambda pair: pair[0])
    assert "; ".join(" ".join(name for _, name in step) for _, step in steps) == longest
    certificate = flow.validate(exact=True).certificate
    assert certificate is not None
    assert certificate.exact
    assert certificate.supersteps == len(longest.split("; "))


def test_a_deferred_node_behind_a_fan_out_is_bounded_tightly() -> None:
    """What is sent comes before anything that a deferred node waits for, also when all of it is done again."""
    flow = Workflow("rounds", State)
    for name in ("plan", "worker", "gather"):
        flow.add_node(name, lambda state: None, defer=name == "gather")
    flow.add_edge(START, "plan").add_edge("worker", "gather")
    flow.add_conditional_edges("plan", lambda state: [Send("worker", {})] * 3, [Each("worker", max=3)])
    again = Loop("plan", max=2, on_exhausted=END)
    flow.add_conditional_edges("gather", lambda state: "again", {"again": again, "done": END})
    certificate = flow.validate().certificate
    assert certificate is not None
    assert certificate.supersteps == 9


def gone_back_to(*loops: Loop) -> tuple[Workflow, list[str]]:
    """A node that commands whatever is said, a node before it, and a row of three behind it; what ran."""
    ran: list[str] = []

    def decide(state: State) -> Command[Any]:
        ran.append("decide")
        return Command(goto="decide" if len(ran) != 2 else "earlier")

    flow = Workflow("back", State).add_node("decide", decide, destinations=loops)
    for name in ("earlier", "one", "two", "three"):
        flow.add_node(name, lambda state, name=name: ran.append(name))
    flow.add_edge(START, "decide").add_edge("earlier", "decide")
    return flow.add_edge("one", "two").add_edge("two", "three").add_edge("three", END), ran


def test_loops_of_one_counter_have_each_their_own_way_out() -> None:
    back = Loop("decide", max=1, on_exhausted="one")
    earlier = Loop("earlier", max=1, on_exhausted=Loop("decide", max=1, on_exhausted=END))
    for loops in ((back, earlier), (earlier, back)):
        flow, ran = gone_back_to(*loops)
        for exact in (False, True):
            certificate = flow.validate(exact=exact).certificate
            assert certificate is not None
            assert certificate.supersteps == 7
        flow.compile().invoke({})
        assert ran == ["decide", "decide", "earlier", "decide", "one", "two", "three"]


def test_a_loop_whose_counter_has_another_ones_way_out_needs_its_own() -> None:
    flow, _ = gone_back_to(
        Loop("decide", max=1, on_exhausted="one"), Loop("earlier", max=1, on_exhausted=Loop("decide", max=1))
    )
    assert [f.code for f in flow.validate().findings if f.severity == "error"] == ["T102"]
