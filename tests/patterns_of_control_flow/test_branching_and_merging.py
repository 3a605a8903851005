"""The workflow patterns that branch, merge and repeat: each runs, or is refused by its code.

W.M.P. van der Aalst et al., Workflow Patterns, 2003; N. Russell et al., Workflow Control-Flow Patterns, 2006.
"""

from __future__ import annotations

from typing import Any

import pytest
from trails import Trail, codes, flow, ran, step

from dalsegno import END, START, Loop, Workflow
from dalsegno.errors import DefinitionError


def test_wcp01_sequence() -> None:
    made = flow("a", "b").add_edge(START, "a").add_edge("a", "b").add_edge("b", END)
    assert ran(made) == ["a", "b"]


def forked() -> Workflow:
    return flow("a", "b", "c", "d").add_edge(START, "a").add_edge("a", "b").add_edge("a", "c")


def test_wcp02_parallel_split() -> None:
    made = forked().add_edge("b", END).add_edge("c", END).add_edge("a", "d").add_edge("d", END)
    assert ran(made) == ["a", "b", "c", "d"]
    assert made.validate().certificate.supersteps == 2


def test_wcp03_synchronization() -> None:
    made = flow("a", "b", "c", "c2", "d").add_edge(START, "a").add_edge("a", "b").add_edge("a", "c")
    made.add_edge("c", "c2").add_edge(["b", "c2"], "d").add_edge("d", END)
    assert ran(made) == ["a", "b", "c", "c2", "d"]


def choosing(*answers: str, many: bool = False) -> Workflow:
    made = flow("a", "b", "c", "d").add_edge(START, "a").add_edge("b", "d").add_edge("c", "d")
    made.add_conditional_edges("a", lambda s: list(answers) if many else answers[0], ["b", "c"], many=many)
    return made.add_edge("d", END)


def test_wcp04_exclusive_choice() -> None:
    assert ran(choosing("c")) == ["a", "c", "d"]


def test_wcp05_simple_merge() -> None:
    assert ran(choosing("b")) == ["a", "b", "d"]


def test_wcp06_multi_choice() -> None:
    assert ran(choosing("b", "c", many=True)) == ["a", "b", "c", "d"]
    assert ran(choosing("c", many=True)) == ["a", "c", "d"]


def unequal(*, defer: bool) -> Workflow:
    """A choice of several branches of unequal length that meet in `d`."""
    made = flow("a", "b", "c", "c2").add_node("d", step("d"), defer=defer).add_edge(START, "a")
    made.add_conditional_edges("a", lambda s: s["items"], ["b", "c"], many=True)
    return made.add_edge("b", "d").add_edge("c", "c2").add_edge("c2", "d").add_edge("d", END)


@pytest.mark.parametrize(
    ("chosen", "path"), [(["b", "c"], "a b c c2 d"), (["b"], "a b d"), (["c"], "a c c2 d")]
)
def test_wcp07_structured_synchronizing_merge(chosen: list[str], path: str) -> None:
    assert ran(unequal(defer=True), items=chosen) == path.split()


def test_wcp08_multi_merge() -> None:
    made = unequal(defer=False)
    assert ran(made, items=["b", "c"]).count("d") == 2
    assert codes(made) == ["S202"]  # that it runs twice is pointed at


def meeting(go: Any, *, rounds: int = 0) -> Workflow:
    """Branches of 1, 2 and 3 steps meet in `merge`, which runs for each; `go` says when `next` follows."""
    made = flow("a", "b", "c", "c2", "d", "d2", "d3", "merge", "next").add_edge(START, "a")
    for source, target in ("ab", "ac", "ad"):
        made.add_edge(source, target)
    for source, target in (("b", "merge"), ("c", "c2"), ("d", "d2"), ("d2", "d3"), ("d3", "merge")):
        made.add_edge(source, target)
    made.add_edge("c2", "merge").add_conditional_edges("merge", go, ["next", END])
    if not rounds:
        return made.add_edge("next", END)
    again = Loop("a", max=rounds, on_exhausted=END)
    return made.add_conditional_edges("next", lambda s: "again", {"again": again, "enough": END})


def merges(state: Trail) -> int:
    return state["ran"].count("merge")


def test_wcp09_structured_discriminator() -> None:
    path = ran(meeting(lambda s: "next" if merges(s) == 1 else END))
    assert path.index("next") < len(path) - 1 - path[::-1].index("merge")
    assert (path.count("merge"), path.count("next")) == (3, 1)


def test_wcp10_arbitrary_cycles() -> None:
    """A cycle with two ways in and two ways out."""
    made = flow("a", "b", "c").add_conditional_edges(START, lambda s: s["choice"], ["a", "b"])
    made.add_conditional_edges("a", lambda s: "b", ["b", END]).add_edge("b", "c")
    made.add_conditional_edges(
        "c", lambda s: "back", {"back": Loop("a", max=2, on_exhausted=END), "out": END}
    )
    assert ran(made, choice="a") == ["a", "b", "c"] * 3
    assert ran(made, choice="b") == ["b", "c", "a", "b", "c", "a", "b", "c"]
    unbounded = flow("a", "b").add_edge(START, "a").add_edge("a", "b")
    unbounded.add_conditional_edges("b", lambda s: "a", ["a", END])
    assert codes(unbounded) == ["T101"]


@pytest.mark.parametrize("times", [1, 3])
def test_wcp21_structured_loop(times: int) -> None:
    made = flow("body", "after").add_edge(START, "body").add_edge("after", END)
    again = Loop("body", max=5, on_exhausted="after")
    made.add_conditional_edges(
        "body", lambda s: "again" if len(s["ran"]) < times else "done", {"again": again, "done": "after"}
    )
    assert ran(made) == ["body"] * times + ["after"]


def nested(depth: int) -> Workflow:
    """Divide and conquer: each level runs itself on the next, as deep as was built."""
    made = (
        Workflow(f"level {depth}", Trail).add_node("solve", step(f"solve {depth}")).add_edge(START, "solve")
    )
    if not depth:
        return made.add_edge("solve", END)
    made.add_node("deeper", nested(depth - 1), inputs={}, outputs={"ran": "ran"})
    return made.add_edge("solve", "deeper").add_edge("deeper", END)


def test_wcp22_recursion() -> None:
    made = nested(3)
    assert made.compile().invoke({"ran": []})["ran"] == ["solve 3", "solve 2", "solve 1", "solve 0"]
    assert made.validate().certificate.supersteps == 7
    endless = Workflow("endless", Trail)
    with pytest.raises(DefinitionError, match="T108"):
        endless.add_node("again", endless)


def test_wcp28_blocking_discriminator() -> None:
    """The next round begins when all of the last have come."""
    path = ran(meeting(lambda s: "next" if merges(s) % 3 == 0 else END, rounds=1))
    assert [path.count(name) for name in ("a", "merge", "next")] == [2, 6, 2]


def cancelling(needed: int) -> Workflow:
    """The branch that comes `needed`-th raises a flag; the others look at it before every step."""
    made = Workflow("cancelling", Trail)
    for name in ("a", "b", "c", "c2", "d", "d2", "d3", "d4", "next"):
        made.add_node(name, step(name))
    made.add_node("merge", lambda s: {"ran": ["merge"], "flag": merges(s) + 1 >= needed})
    made.add_edge(START, "a").add_edge("a", "b").add_edge("a", "c").add_edge("a", "d").add_edge("next", END)
    for source, target in (
        ("b", "merge"),
        ("c", "c2"),
        ("c2", "merge"),
        ("d", "d2"),
        ("d2", "d3"),
        ("d3", "d4"),
        ("d4", "merge"),
    ):
        made.add_conditional_edges(
            source, lambda s, target=target: END if s.get("flag") else target, [target, END]
        )
    return made.add_conditional_edges(
        "merge", lambda s: "next" if merges(s) == needed else END, ["next", END]
    )


def test_wcp29_cancelling_discriminator() -> None:
    path = ran(cancelling(1))
    assert path.count("next") == 1
    assert "d4" not in path  # a flag is seen one superstep after it was raised


def test_wcp30_structured_partial_join() -> None:
    path = ran(meeting(lambda s: "next" if merges(s) == 2 else END))
    assert (path.count("merge"), path.count("next")) == (3, 1)


def test_wcp31_blocking_partial_join() -> None:
    """Two of three suffice, and the third is waited for before the join is open again."""
    made = meeting(lambda s: "next" if merges(s) % 3 == 2 else END)
    made.add_node("reset", step("reset"), defer=True).add_edge("next", "reset")
    made.edges = [e for e in made.edges if (e.source, e.target) != ("next", END)]
    again = Loop("a", max=1, on_exhausted=END)
    made.add_conditional_edges("reset", lambda s: "again", {"again": again, "enough": END})
    path = ran(made)
    assert [path.count(name) for name in ("a", "merge", "next", "reset")] == [2, 6, 2, 2]
    assert path.index("reset") > [i for i, name in enumerate(path) if name == "merge"][2]


def test_wcp32_cancelling_partial_join() -> None:
    path = ran(cancelling(2))
    assert (path.count("merge"), path.count("next")) == (2, 1)


def test_wcp33_generalised_and_join() -> None:
    """A join remembers that a source came, not how often: where that matters, the check says so."""
    made = flow("a", "b", "c", "d").add_edge(START, "a").add_edge("a", "b").add_edge("a", "c")
    again = Loop("b", max=1, on_exhausted=END)
    made.add_conditional_edges("b", lambda s: "again", {"again": again, "on": END})
    made.add_edge(["b", "c"], "d").add_edge("d", END)
    assert "S205" in codes(made)


def test_wcp37_acyclic_synchronizing_merge() -> None:
    assert ran(unequal(defer=True), items=["b", "c"]).count("d") == 1


def test_wcp38_general_synchronizing_merge() -> None:
    """Waits as long as anything may still arrive, also out of a loop."""
    made = flow("a", "b", "c").add_node("d", step("d"), defer=True).add_edge(START, "a")
    made.add_edge("a", "b").add_edge("a", "c").add_edge("b", "d").add_edge("d", END)
    made.add_conditional_edges(
        "c", lambda s: "again", {"again": Loop("c", max=3, on_exhausted="d"), "on": "d"}
    )
    assert ran(made) == ["a", "b", "c", "c", "c", "c", "d"]
