"""What would be noticed: a kernel that lets any loop of any kind go round once more is caught."""

from __future__ import annotations

import operator
import pickle
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.types import Command

from dalsegno import END, START, Each, Loop, Workflow
from dalsegno.errors import BoundExceeded
from dalsegno.graphs.compiling import compile_workflow
from dalsegno.graphs.validation import Certificate
from dalsegno.graphs.validation.checking import check_parts


class State(TypedDict, total=False):
    ran: Annotated[list[str], operator.add]


def step(name: str) -> Callable[[Any], Any]:
    return lambda state: {"ran": [name]}


def back(answer: str = "back") -> Callable[[Any], str]:
    """The worst router: it always wants to go back."""
    return lambda state: answer


def one() -> Workflow:
    flow = Workflow("one", State).add_node("a", step("a")).add_node("b", step("b"))
    flow.add_edge(START, "a").add_edge("a", "b")
    return flow.add_conditional_edges("b", back(), {"back": Loop("a", max=3, on_exhausted=END), "on": END})


def nested() -> Workflow:
    flow = Workflow("nested", State)
    for name in "abc":
        flow.add_node(name, step(name))
    flow.add_edge(START, "a").add_edge("a", "b")
    flow.add_conditional_edges("b", back(), {"back": Loop("b", max=2, on_exhausted="c"), "on": "c"})
    return flow.add_conditional_edges("c", back(), {"back": Loop("a", max=2, on_exhausted=END), "on": END})


def chained() -> Workflow:
    flow = Workflow("chained", State).add_node("a", step("a")).add_node("b", step("b"))
    flow.add_edge(START, "a").add_edge("a", "b")
    second = Loop("a", max=2, on_exhausted=END)
    return flow.add_conditional_edges("b", back(), {"back": Loop("b", max=1, on_exhausted=second), "on": END})


def commanding() -> Workflow:
    def again(state: State) -> Any:
        return Command(update={"ran": ["b"]}, goto="a")

    flow = Workflow("commanding", State).add_node("a", step("a"))
    flow.add_node("b", again, destinations=(Loop("a", max=2, on_exhausted=END), END))
    return flow.add_edge(START, "a").add_edge("a", "b")


def forking() -> Workflow:
    flow = Workflow("forking", State)
    for name in ("fork", "left", "right", "join"):
        flow.add_node(name, step(name))
    flow.add_edge(START, "fork").add_edge("fork", "left").add_edge("fork", "right")
    flow.add_edge(["left", "right"], "join")
    return flow.add_conditional_edges(
        "join", back(), {"back": Loop("fork", max=2, on_exhausted=END), "on": END}
    )


def outer(inner: Workflow) -> Workflow:
    flow = Workflow("outer", State).add_node("sub", inner, inputs={}, outputs={"ran": "ran"})
    flow.add_edge(START, "sub")
    return flow.add_conditional_edges(
        "sub", back(), {"back": Loop("sub", max=1, on_exhausted=END), "on": END}
    )


MAKERS = {
    "one": one,
    "nested": nested,
    "chained": chained,
    "commanding": commanding,
    "forking": forking,
    "in a subworkflow": lambda: outer(one()),
}


def loops(flow: Workflow) -> list[Callable[[], None]]:
    """For each loop of a workflow, its subworkflows' among them, what raises its maximum by one."""
    found: list[Callable[[], None]] = []

    def raised(loop: Loop, depth: int) -> Loop:
        if depth == 0:
            return replace(loop, max=loop.max + 1)
        assert isinstance(loop.on_exhausted, Loop)
        return replace(loop, on_exhausted=raised(loop.on_exhausted, depth - 1))

    def chain(targets: dict[Any, Any], key: Any) -> None:
        loop, depth = targets[key], 0
        while isinstance(loop, Loop):
            found.append(lambda depth=depth: targets.__setitem__(key, raised(targets[key], depth)))
            loop, depth = loop.on_exhausted, depth + 1

    for i, router in enumerate(flow.routers):
        targets = dict(router.targets)
        flow.routers[i] = replace(router, targets=targets)
        for key in targets:
            chain(targets, key)
    for node in flow.nodes.values():
        for key in node.destinations:
            chain(node.destinations, key)
        if isinstance(node.action, Workflow):
            found += loops(node.action)
    return found


def bounded(flow: Workflow, certificate: Certificate, supersteps: int) -> Any:
    """The workflow as it is now, compiled with a bound; what is in it, with its own."""
    _, certificates = check_parts(spec := flow.spec)
    proved = replace(certificate, level_supersteps=supersteps, executions_by_node={})
    return compile_workflow(flow, spec, {**certificates, id(spec): proved})


def caught(flow: Workflow, certificate: Any) -> bool:
    """Whether a run of `flow`, compiled as it is now, breaks what was proved of it before."""
    try:
        ran = bounded(flow, certificate, certificate.level_supersteps).invoke({"ran": []})["ran"]
    except BoundExceeded:
        return True
    # Names are those of the inner nodes; none of them is used twice.
    allowed = {name.rpartition("/")[2]: most for name, most in certificate.executions_by_node.items()}
    return any(times > allowed[name] for name, times in Counter(ran).items())


MUTANTS = [(kind, i) for kind, make in MAKERS.items() for i in range(len(loops(make())))]


@pytest.mark.parametrize(("kind", "number"), MUTANTS)
def test_a_loop_that_goes_round_once_more_is_caught(kind: str, number: int) -> None:
    flow = MAKERS[kind]()
    mutations = loops(flow)
    certificate = flow.validate().certificate
    assert not caught(flow, certificate)
    mutations[number]()
    assert caught(flow, certificate)


def test_every_kind_of_loop_is_among_them() -> None:
    assert len(MUTANTS) == 9


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_bound_one_too_low_stops_the_run_and_names_its_last_nodes(make: Callable[[], Workflow]) -> None:
    flow = make()
    certificate = flow.validate().certificate
    assert certificate is not None
    bound = certificate.level_supersteps
    whole = bounded(flow, certificate, bound).invoke({"ran": []})["ran"]
    with pytest.raises(BoundExceeded) as raised:
        bounded(flow, certificate, bound - 1).invoke({"ran": []})
    error = raised.value
    assert (error.bound, error.used) == (bound - 1, bound)
    if kind_of(flow) == "a walk":
        assert error.path == tuple(whole[-9:])
    assert error.path[-1] in flow.nodes
    assert pickle.loads(pickle.dumps(error)).path == error.path


def kind_of(flow: Workflow) -> str:
    parallel = any(e.kind == "join" for e in flow.edges)
    return "a walk" if not parallel and all(n.child is None for n in flow.nodes.values()) else "more"


def test_a_fan_out_of_one_more_is_refused() -> None:
    from langgraph.types import Send

    from dalsegno.errors import UndeclaredTarget

    def flow(sent: int) -> Workflow:
        made = Workflow("fan", State).add_node("a", step("a")).add_node("w", step("w"))
        made.add_edge(START, "a").add_edge("w", END)
        return made.add_conditional_edges(
            "a", lambda s: [Send("w", i) for i in range(sent)], [Each("w", max=3)]
        )

    assert flow(3).compile().invoke({"ran": []})["ran"] == ["a", "w", "w", "w"]
    with pytest.raises(UndeclaredTarget, match="more than the 3"):
        flow(4).compile().invoke({"ran": []})
