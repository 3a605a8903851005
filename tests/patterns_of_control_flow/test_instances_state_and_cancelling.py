"""The workflow patterns on instances, state, triggers, cancelling and ends: each runs, or is refused by its code.

W.M.P. van der Aalst et al., Workflow Patterns, 2003; N. Russell et al., Workflow Control-Flow Patterns, 2006.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Literal

import pytest
from langgraph.types import Command, Send, interrupt
from trails import Trail, codes, flow, ran, step

from dalsegno import END, START, Each, Loop, Runner, Workflow
from dalsegno.errors import NothingToResume


def test_wcp11_implicit_termination() -> None:
    made = flow("a", "b", "c").add_edge(START, "a").add_edge("a", "b").add_edge("a", "c")
    assert ran(made.add_edge("b", END).add_edge("c", END)) == ["a", "b", "c"]


def work(item: str) -> dict[str, Any]:
    return {"ran": [f"work {item}"]}


def sending(count: Any, *, most: int = 5, after: str = "total") -> Workflow:
    """`split` sends `count(state)` instances of `work`; `total` comes after them."""
    made = flow("split", "total", work=work).add_node("work", work)
    made.add_edge(START, "split").add_edge("work", after).add_edge("total", END)
    return made.add_conditional_edges(
        "split",
        lambda s: [Send("work", item) for item in count(s)] or "total",
        [Each("work", max=most), "total"],
    )


def test_wcp12_multiple_instances_without_synchronization() -> None:
    made = flow("split", "next").add_node("work", work).add_edge(START, "split")
    made.add_conditional_edges(
        "split",
        lambda s: [Send("work", "a"), Send("work", "b"), "next"],
        [Each("work", max=2), "next"],
        many=True,
    )
    assert sorted(ran(made.add_edge("work", END).add_edge("next", END))) == [
        "next",
        "split",
        "work a",
        "work b",
    ]


def test_wcp13_multiple_instances_with_design_time_knowledge() -> None:
    assert ran(sending(lambda s: "ab", most=2)) == ["split", "work a", "work b", "total"]


@pytest.mark.parametrize("items", ["", "a", "abc"])
def test_wcp14_multiple_instances_with_run_time_knowledge(items: str) -> None:
    made = sending(lambda s: s["items"])
    assert ran(made, items=list(items)) == ["split", *(f"work {i}" for i in items), "total"]


def rounds(enough: Any, *, size: int = 2) -> Workflow:
    """Instances in rounds of `size`; after each round `collect` asks whether there are enough."""

    def send(state: Trail) -> list[Send]:
        done = sum(name.startswith("work") for name in state["ran"])
        return [Send("work", str(done + i)) for i in range(size)]

    made = flow("split", "collect", "total").add_node("work", work).add_edge(START, "split")
    made.add_conditional_edges("split", send, [Each("work", max=size)]).add_edge("work", "collect")
    more = Loop("split", max=3, on_exhausted="total")
    made.add_conditional_edges(
        "collect", lambda s: "enough" if enough(s) else "more", {"more": more, "enough": "total"}
    )
    return made.add_edge("total", END)


def worked(state: Any) -> int:
    names = state if isinstance(state, list) else state["ran"]
    return sum(name.startswith("work") for name in names)


def test_wcp15_multiple_instances_without_run_time_knowledge() -> None:
    assert worked(ran(rounds(lambda s: worked(s) >= 5))) == 6


def asking(*names: str) -> Workflow:
    made = Workflow("asking", Trail)
    made.add_node("ask", lambda s: {"ran": ["ask"], "choice": interrupt("which?")}, interrupts=1)
    for name in names:
        made.add_node(name, step(name)).add_edge(name, END)
    return made.add_edge(START, "ask").add_conditional_edges("ask", lambda s: s["choice"], list(names))


def test_wcp16_deferred_choice(tmp_path: Path) -> None:
    """Which way is taken is decided by what comes first from outside."""
    with Runner(asking("a", "b"), db=tmp_path / "runs.db") as runner:
        assert runner.run({"ran": []}, thread="t").status == "interrupted"
        assert runner.resume("t", "b").output["ran"] == ["ask", "b"]


def interleaved(order: Any, *names: str) -> Workflow:
    """A dispatcher that runs what is not done yet, one at a time."""
    made = flow("next", *names).add_edge(START, "next")
    answers: dict[Any, Any] = {name: Loop(name, max=1, on_exhausted=END) for name in names}
    made.add_conditional_edges("next", order, {**answers, "done": END})
    for name in names:
        made.add_edge(name, "next")
    return made


def test_wcp17_interleaved_parallel_routing() -> None:
    """In any order in which `a` comes before `b`, never two at once."""

    def order(state: Trail) -> str:
        done = set(state["ran"])
        return next(
            (n for n in ("c", "a", "b") if n not in done and not (n == "b" and "a" not in done)), "done"
        )

    made = interleaved(order, "a", "b", "c")
    assert [n for n in ran(made) if n != "next"] == ["c", "a", "b"]
    assert made.validate().certificate.executions == made.validate().certificate.supersteps


def test_wcp18_milestone() -> None:
    """`late` may only run as long as `ship` has not: a router reads that from the state."""
    made = flow("order", "late", "ship").add_edge(START, "order").add_edge("late", END).add_edge("ship", END)
    made.add_conditional_edges("order", lambda s: "late" if not s.get("flag") else "ship", ["late", "ship"])
    assert ran(made) == ["order", "late"]
    assert ran(made, flag=True) == ["order", "ship"]


def test_wcp19_cancel_task() -> None:
    """Nothing in a graph stops a task that runs, but its own timeout; before it begins, a router does."""

    async def forever(state: Trail) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    def instead(state: Trail) -> Command[Literal["other"]]:
        return Command(update={"ran": ["cancelled"]}, goto="other")

    made = Workflow("cancel", Trail).add_node("slow", forever, timeout=0.02, error_handler=instead)
    made.add_node("other", step("other")).add_edge(START, "slow").add_edge("slow", END).add_edge("other", END)
    assert made.validate().ok
    assert asyncio.run(made.compile().ainvoke({"ran": []}))["ran"] == ["cancelled", "other"]


def test_wcp20_cancel_case(tmp_path: Path) -> None:
    with Runner(asking("a"), db=tmp_path / "runs.db") as runner:
        runner.run({"ran": []}, thread="t")
        assert runner.cancel("t") == "cancelled"
        with pytest.raises(NothingToResume):
            runner.resume("t", "a")


def test_wcp23_transient_trigger(tmp_path: Path) -> None:
    """What comes when nobody waits is refused, never silently lost."""
    made = flow("a").add_edge(START, "a").add_edge("a", END)
    with Runner(made, db=tmp_path / "runs.db") as runner:
        runner.run({"ran": []}, thread="t")
        with pytest.raises(NothingToResume):
            runner.resume("t", "too late")


def test_wcp24_persistent_trigger(tmp_path: Path) -> None:
    """A run waits for it over the end of its process."""
    for action in ("run", "resume"):
        with Runner(asking("a"), db=tmp_path / "runs.db") as runner:
            result = runner.run({"ran": []}, thread="t") if action == "run" else runner.resume("t", "a")
    assert result.output["ran"] == ["ask", "a"]


def test_wcp25_cancel_region() -> None:
    """Each step of the region looks at a flag; the region ends with the superstep in which it is raised."""
    made = flow("a", "r1", "r2", "r3").add_node("stop", step("stop", flag=True)).add_edge(START, "a")
    made.add_edge("a", "r1").add_edge("a", "stop").add_edge("stop", END).add_edge("r3", END)
    for here, there in (("r1", "r2"), ("r2", "r3")):
        made.add_conditional_edges(here, lambda s, there=there: END if s.get("flag") else there, [there, END])
    assert ran(made) == ["a", "r1", "stop", "r2"]


def test_wcp26_cancel_multiple_instance_task() -> None:
    """Instances that have not begun are not begun: they come in rounds."""
    assert worked(ran(rounds(lambda s: True))) == 2


def test_wcp27_complete_multiple_instance_task() -> None:
    path = ran(rounds(lambda s: worked(s) >= 3))
    assert (worked(path), path[-1]) == (4, "total")


def test_wcp34_static_partial_join_for_multiple_instances() -> None:
    path = ran(rounds(lambda s: worked(s) >= 3, size=3))
    assert (worked(path), path.count("total")) == (3, 1)


def test_wcp35_cancelling_partial_join_for_multiple_instances() -> None:
    """The ones that are not needed any more never begin."""
    assert worked(ran(rounds(lambda s: worked(s) >= 2, size=1))) == 2


def test_wcp36_dynamic_partial_join_for_multiple_instances() -> None:
    """A condition on the state says when enough have come, and new ones are made until then."""
    assert worked(ran(rounds(lambda s: "work 3" in s["ran"]))) == 4
    assert worked(ran(rounds(lambda s: False))) == 8  # as many as the loop has rounds for


def test_wcp39_critical_section() -> None:
    """What must not run at the same time goes through one dispatcher."""
    made = interleaved(lambda s: next((n for n in ("x", "y") if n not in s["ran"]), "done"), "x", "y")
    assert [n for n in ran(made) if n != "next"] == ["x", "y"]
    assert made.validate().certificate.executions == made.validate().certificate.supersteps


def test_wcp40_interleaved_routing() -> None:
    made = interleaved(lambda s: next((n for n in "cba" if n not in s["ran"]), "done"), *"abc")
    assert [n for n in ran(made) if n != "next"] == ["c", "b", "a"]


def test_wcp41_thread_merge() -> None:
    assert ran(sending(lambda s: "abc")).count("total") == 1


def test_wcp42_thread_split() -> None:
    assert worked(ran(sending(lambda s: "xxx", most=3))) == 3


def test_wcp43_explicit_termination() -> None:
    """END ends a branch, not the run; where others run beside it, the check says so."""
    made = flow("a", "b", "c", "c2").add_edge(START, "a").add_edge("a", "b").add_edge("a", "c")
    made.add_conditional_edges("b", lambda s: "stop", {"stop": END, "on": "c2"})
    made.add_edge("c", "c2").add_edge("c2", END)
    assert "S204" in codes(made)
    assert "c2" in made.compile().invoke({"ran": []})["ran"]
