"""A plain LangGraph graph that is acyclic gets a certificate, and running it takes just as many supersteps."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command

from dalsegno import validate

Graph = Any


class State(TypedDict, total=False):
    way: str
    seen: Annotated[list[str], operator.add]


def graph_of(*edges: tuple[Any, str], defer: tuple[str, ...] = ()) -> Any:
    """A builder with a node for every name in `edges`; a list of sources is a join."""
    builder = StateGraph(State)
    ends = [end for sources, target in edges for end in (*sources_of(sources), target)]
    for name in dict.fromkeys(ends):
        if name not in (START, END):
            builder.add_node(name, noted(name), defer=name in defer)
    for sources, target in edges:
        builder.add_edge(sources, target)
    return builder


def sources_of(sources: str | list[str]) -> list[str]:
    return [sources] if isinstance(sources, str) else sources


def noted(name: str) -> Callable[[State], dict[str, Any]]:
    return lambda state: {"seen": [name]}


def executed(graph: Graph, way: str = "") -> tuple[int, int]:
    """Supersteps and node executions of one run; those of subgraphs that run one after the other."""
    steps: set[tuple[Any, int]] = set()
    tasks = 0
    for place, event in graph.stream({"way": way, "seen": []}, stream_mode="debug", subgraphs=True):
        if event["type"] == "task":
            steps.add((place, event["step"]))
            tasks += 1
    return len(steps), tasks


# -- shapes: a builder, and the ways through it that together reach the worst case ------------------


def chain() -> tuple[Any, tuple[str, ...]]:
    return graph_of((START, "a"), ("a", "b"), ("b", "c"), ("c", END)), ("",)


def fork_and_join() -> tuple[Any, tuple[str, ...]]:
    edges = ((START, "a"), (START, "b"), ("a", "a2"), (["a2", "b"], "c"), ("c", END))
    return graph_of(*edges), ("",)


def diamond_without_a_join() -> tuple[Any, tuple[str, ...]]:
    return graph_of((START, "a"), ("a", "b"), ("b", "c"), ("a", "c"), ("c", END)), ("",)


def deferred_after_unequal_branches() -> tuple[Any, tuple[str, ...]]:
    edges = ((START, "a"), ("a", "b"), ("b", "b2"), ("b2", "c"), ("a", "c"), ("c", END))
    return graph_of(*edges, defer=("c",)), ("",)


def choice_by_literal() -> tuple[Any, tuple[str, ...]]:
    builder = graph_of((START, "a"), ("long", "b"), ("b", END), ("short", END))

    def route(state: State) -> Literal["long", "short", "__end__"]:
        return state["way"]  # type: ignore[return-value]

    builder.add_conditional_edges("a", route)
    return builder, ("long", "short", END)


def choice_of_several_by_path_map() -> tuple[Any, tuple[str, ...]]:
    builder = graph_of((START, "a"), ("x", "x2"), ("x2", "end"), ("y", "end"), ("end", END))
    builder.add_conditional_edges("a", lambda s: list(s["way"]), {"1": "x", "2": "y", "0": END})
    return builder, ("1", "2", "12", "0")


def several_by_a_list_of_literals() -> tuple[Any, tuple[str, ...]]:
    builder = graph_of((START, "a"), ("x", "x2"), ("x2", END), ("y", END))

    def route(state: State) -> list[Literal["x", "y"]]:
        return list(state["way"])  # type: ignore[arg-type]

    builder.add_conditional_edges("a", route)
    return builder, ("x", "y", "xy")


def choice_at_start() -> tuple[Any, tuple[str, ...]]:
    builder = graph_of(("a", "b"), ("b", END))
    builder.add_conditional_edges(START, lambda s: s["way"], ["a", "b"])
    return builder, ("a", "b")


def commands() -> tuple[Any, tuple[str, ...]]:
    def a(state: State) -> Command[Literal["b", "c"]]:
        return Command(goto=state["way"])  # type: ignore[arg-type]

    builder = graph_of(("b", "c"), ("c", END))
    builder.add_node("a", a).add_edge(START, "a")
    return builder, ("b", "c")


def command_beside_a_static_edge() -> tuple[Any, tuple[str, ...]]:
    builder = graph_of(("b", END), ("c", "d"), ("d", END))
    builder.add_node("a", lambda s: Command(goto=s["way"]), destinations={"c": "more", END: "enough"})
    builder.add_edge(START, "a").add_edge("a", "b")
    return builder, ("c", END)


def an_error_handler() -> tuple[Any, tuple[str, ...]]:
    def handler(state: State) -> Command[Literal["repair"]]:
        return Command(goto="repair")

    def fails(state: State) -> dict[str, Any]:
        if state["way"] == "fail":
            raise RuntimeError("failed")
        return {}

    builder = graph_of(("b", END), ("repair", "b"))
    builder.add_node("a", fails, error_handler=handler).add_edge(START, "a").add_edge("a", "b")
    return builder, ("fail", "")


def nested(depth: int) -> Any:
    inner: Any = noted("deepest") if depth == 0 else nested(depth - 1).compile()
    builder = graph_of((START, "before"), ("after", END))
    builder.add_node("inner", inner)
    return builder.add_edge("before", "inner").add_edge("inner", "after")


def three_levels() -> tuple[Any, tuple[str, ...]]:
    return nested(3), ("",)


def the_same_graph_twice() -> tuple[Any, tuple[str, ...]]:
    inner = graph_of((START, "a"), ("a", "b"), ("b", END)).compile()
    builder = StateGraph(State).add_node("one", inner).add_node("two", inner)
    return builder.add_edge(START, "one").add_edge("one", "two").add_edge("two", END), ("",)


SHAPES = [
    chain,
    fork_and_join,
    diamond_without_a_join,
    deferred_after_unequal_branches,
    choice_by_literal,
    choice_of_several_by_path_map,
    several_by_a_list_of_literals,
    choice_at_start,
    commands,
    command_beside_a_static_edge,
    an_error_handler,
    three_levels,
    the_same_graph_twice,
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("compiled", [False, True], ids=["builder", "compiled"])
def test_the_longest_run_takes_the_supersteps_of_the_certificate(shape: Any, compiled: bool) -> None:
    builder, ways = shape()
    graph = builder.compile()
    report = validate(graph if compiled else builder)
    assert report.ok, [f.message for f in report.findings]
    assert report.certificate is not None
    runs = [executed(graph, way) for way in ways]
    assert max(steps for steps, _ in runs) == report.certificate.supersteps
    assert report.certificate.executions is not None
    assert max(tasks for _, tasks in runs) <= report.certificate.executions


def random_graph(seed: int, decide: Callable[[list[str]], list[str]]) -> tuple[Any, int]:
    """An acyclic graph of static edges and routers that may take several targets, and its number of nodes."""
    draw = random.Random(seed)
    count = draw.randint(2, 9)
    names = [f"n{i}" for i in range(count)]
    builder = StateGraph(State)
    for name in names:
        builder.add_node(name, noted(name))
    builder.add_edge(START, names[0])
    for i, name in enumerate(names):
        later = [*names[i + 1 :], END]
        targets = draw.sample(later, k=min(len(later), draw.randint(1, 3)))
        if draw.random() < 0.5:
            for target in targets:
                builder.add_edge(name, target)
        else:
            builder.add_conditional_edges(name, lambda s, t=targets: decide(t), targets)
    return builder, count


@pytest.mark.parametrize("seed", range(60))
def test_taking_every_target_reaches_the_bound_and_no_choice_exceeds_it(seed: int) -> None:
    """Without joins the longest walk is what a run takes that leaves nothing out."""
    everything, _ = random_graph(seed, lambda targets: targets)
    certificate = validate(everything).certificate
    assert certificate is not None
    steps, tasks = executed(everything.compile())
    assert steps == certificate.supersteps
    assert certificate.executions is not None
    assert tasks <= certificate.executions
    draw = random.Random(seed + 1000)
    some, _ = random_graph(seed, lambda targets: draw.sample(targets, k=draw.randint(1, len(targets))))
    graph = some.compile()
    for _ in range(3):
        steps, tasks = executed(graph)
        assert certificate.supersteps is not None
        assert steps <= certificate.supersteps
        assert tasks <= certificate.executions


Decide = Callable[[list[str]], list[str]]


def mixed_graph(seed: int, decide: Decide, *, inside: bool = False) -> Any:
    """An acyclic graph of everything: joins, commands, routers, deferred nodes and subgraphs."""
    draw = random.Random(seed)
    names = [f"n{i}" for i in range(draw.randint(2, 8))]
    builder = StateGraph(State)
    for i, name in enumerate(names):
        later = [*names[i + 1 :], END]
        targets = draw.sample(later, k=min(len(later), draw.randint(1, 3)))
        kind = draw.choice(["static", "static", "router", "command", "join"])
        action: Any = noted(name)
        if kind == "command":
            builder.add_node(name, lambda s, t=targets: Command(goto=decide(t)), destinations=tuple(targets))
            continue
        if not inside and draw.random() < 0.2:
            action = mixed_graph(seed * 31 + i, decide, inside=True).compile()
        builder.add_node(name, action, defer=draw.random() < 0.12)
        if kind == "router":
            builder.add_conditional_edges(name, lambda s, t=targets: decide(t), targets)
        elif kind == "join" and 0 < i < len(names) - 1:
            builder.waiting_edges.add(
                ((*draw.sample(names[:i], k=min(i, draw.randint(1, 2))), name), draw.choice(names[i + 1 :]))
            )
        else:
            for target in targets:
                builder.add_edge(name, target)
    return builder.add_edge(START, names[0])


@pytest.mark.parametrize("seed", range(60))
def test_no_run_goes_beyond_the_bounds_whatever_its_routers_choose(seed: int) -> None:
    certificate = validate(mixed_graph(seed, lambda targets: targets)).certificate
    assert certificate is not None
    assert certificate.executions is not None
    draw = random.Random(seed)
    choosing: list[Decide] = [
        lambda targets: targets,
        *[lambda targets: draw.sample(targets, k=draw.randint(1, len(targets)))] * 3,
    ]
    for decide in choosing:
        graph = mixed_graph(seed, decide).compile()
        level: set[int] = set()
        tasks = 0
        for place, event in graph.stream({"seen": []}, stream_mode="debug", subgraphs=True):
            if event["type"] == "task":
                tasks += 1
                level |= {event["step"]} if place == () else set()
        assert len(level) <= certificate.level_supersteps
        assert tasks <= certificate.executions
