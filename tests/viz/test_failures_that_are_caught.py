"""A node that failed and whose failure was caught is drawn as what it is: neither done nor the end of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypedDict
from xml.etree import ElementTree as ET

import pytest
from langgraph.graph import StateGraph
from langgraph.types import Command

from dalsegno import END, START, Runner, Workflow, viz
from dalsegno.graphs.model import EdgeSpec, NodeSpec, WorkflowSpec
from dalsegno.graphs.patterns import SagaStep, map_reduce, saga
from dalsegno.runtime.seeing import Seeing
from dalsegno.viz.extract import diagram
from dalsegno.viz.laying import lay
from dalsegno.viz.overlay import Execution, NodeRun, RunView
from dalsegno.viz.replay import frames

SVG = "{http://www.w3.org/2000/svg}"


class State(TypedDict, total=False):
    number: int


def declined(state: State) -> dict[str, int]:
    raise ValueError("card <declined>")


def sorry(state: State) -> Command[Literal["after"]]:
    return Command(update={"number": 1}, goto="after")


def after(state: State) -> dict[str, int]:
    return {"number": 2}


def _ours() -> Any:
    flow = Workflow("shop", State).add_node("pay", declined, error_handler=sorry).add_node(after)
    return flow.add_edge(START, "pay").add_edge("pay", END).add_edge("after", END)


def _langgraphs() -> Any:
    graph = StateGraph(State)
    graph.add_node("pay", declined, error_handler=sorry).add_node(after)
    return graph.add_edge(START, "pay").add_edge("pay", END).add_edge("after", END).compile()


def _a_part_of_ours() -> Any:
    part = Workflow("part", State).add_node("inner", declined).add_edge(START, "inner").add_edge("inner", END)
    flow = Workflow("shop", State).add_node("pay", part, error_handler=sorry).add_node(after)
    return flow.add_edge(START, "pay").add_edge("pay", END).add_edge("after", END)


def _a_saga() -> Any:
    def book(state: Any) -> str:
        return "booked"

    return saga([SagaStep(book, compensate=lambda state: None), SagaStep(declined, name="pay")])


def _seen(graph: Any, given: dict[str, Any], path: Path) -> tuple[WorkflowSpec, RunView]:
    with Runner(graph, db=str(path / "runs.db")) as runner:
        assert runner.run(given, thread="t").status == "completed"
    with Seeing(graph, str(path / "runs.db")) as seeing:
        run = seeing.ledger.latest("t")
        assert run is not None
        return seeing.graph_of(run), seeing.view(run)


@pytest.mark.parametrize("made", [_ours, _langgraphs, _a_part_of_ours, _a_saga])
def test_the_node_failed_and_was_caught_and_the_others_are_done(made: Any, tmp_path: Path) -> None:
    given = {"request": 1} if made is _a_saga else {"number": 0}
    spec, run = _seen(made(), given, tmp_path)
    assert (run.nodes["pay"].status, run.nodes["pay"].caught) == ("caught", 1)
    assert run.nodes["pay"].error == "ValueError: card <declined>"
    assert {n.status for name, n in run.nodes.items() if not name.startswith("pay")} == {"done"}
    [execution] = [e for e in run.executions if e.node == "pay"]
    assert (execution.status, execution.again) == ("caught", False)
    drawn = viz.picture(spec, run=run)
    [box] = [b for b in (*drawn.nodes, *drawn.clusters) if b.id == "pay"]
    assert box.status == "caught"
    assert box.lines[0].startswith("↷ failed, caught")


def test_it_is_done_once_it_was_mended_and_resumed(tmp_path: Path) -> None:
    broken = [True]

    def pay(state: State) -> dict[str, int]:
        if broken[0]:
            raise ValueError("not yet")
        return {"number": 1}

    flow = Workflow("shop", State).add_node(pay).add_edge(START, "pay").add_edge("pay", END)
    with Runner(flow, db=str(tmp_path / "runs.db")) as runner:
        assert runner.run({"number": 0}, thread="t").status == "failed"
        broken[0] = False
        assert runner.resume("t").status == "completed"
    with Seeing(flow, str(tmp_path / "runs.db")) as seeing:
        run = seeing.ledger.latest("t")
        assert run is not None
        assert seeing.view(run).nodes["pay"].status == "done"


def test_of_a_fan_out_it_is_told_how_many(tmp_path: Path) -> None:
    flow = map_reduce(lambda state: 12 // (state["item"] - 2), on_error="collect", max_items=4)
    spec, run = _seen(flow, {"items": [1, 2, 3, 4]}, tmp_path)
    [node] = [n for n in viz.picture(spec, run=run).nodes if n.status == "caught"]
    assert node.lines[0].startswith("↷ ×4 · 1 failed, caught")
    assert "ZeroDivisionError" in node.details


def _round() -> tuple[WorkflowSpec, RunView]:
    edges = (EdgeSpec(START, "pay"), EdgeSpec("pay", "sorry", "handler"), EdgeSpec("sorry", END))
    spec = WorkflowSpec("shop", nodes={n: NodeSpec(n) for n in ("pay", "sorry")}, edges=edges)
    error = "ValueError: card <declined>"
    steps = (
        Execution("pay", 1, "caught", error=error, seconds=0.1, targets=(("sorry", None),)),
        Execution("sorry", 2, targets=((END, None),)),
    )
    run = RunView(
        "r1", "t", "shop", "completed",
        nodes={"pay": NodeRun(1, "caught", 0.1, error=error, caught=1), "sorry": NodeRun(1)},
        edges={(START, "pay", None): 1, ("pay", "sorry", None): 1, ("sorry", END, None): 1},
        executions=steps,
    )  # fmt: skip
    return spec, run


def test_every_format_says_so(tmp_path: Path) -> None:
    spec, run = _round()
    for name in ("run.svg", "run.txt", "run.mmd", "run.dot", "run.html"):
        drawn = viz.draw(spec, tmp_path / name, run=run).read_text(encoding="utf-8")
        assert "↷ failed, caught" in drawn, name
    assert viz.draw(spec, tmp_path / "run.png", run=run).read_bytes().startswith(b"\x89PNG")


def test_its_error_is_in_the_details_and_covers_nothing() -> None:
    spec, run = _round()
    drawn = ET.fromstring(viz.svg(spec, run=run))
    assert not [g for g in drawn.iter(f"{SVG}g") if g.get("class") == "callout"]
    [pay] = [g for g in drawn.iter(f"{SVG}g") if "caught" in (g.get("class") or "").split()][:1]
    assert "card <declined>" in "".join(t.text or "" for t in pay.iter(f"{SVG}title"))


def test_a_replay_shows_it_at_its_superstep_and_goes_on_from_there() -> None:
    spec, run = _round()
    first, second = frames(diagram(spec), run)
    assert [look[0] for look in first["n"].values()] == ["caught"]
    assert [look[0] for look in second["n"].values()] == ["done"]
    assert any(taken for taken, _ in first["e"].values())


@pytest.mark.parametrize("ours", [True, False])
def test_a_join_was_not_reached_from_a_node_whose_handler_went_on_elsewhere(
    ours: bool, tmp_path: Path
) -> None:
    def nothing(state: State) -> None: ...

    made: Any = Workflow("shop", State) if ours else StateGraph(State)
    made.add_node("pay", declined, error_handler=sorry).add_node("pack", nothing).add_node("send", nothing)
    made.add_node(after).add_edge(START, "pay").add_edge(START, "pack").add_edge(["pay", "pack"], "send")
    made.add_edge("send", END).add_edge("after", END)
    spec, run = _seen(made if ours else made.compile(), {"number": 0}, tmp_path)
    assert ("pay", "send", None) not in run.edges
    assert run.edges["pack", "send", None] == 1
    picture = lay(diagram(spec), run)
    assert [n.classes for n in picture.nodes if n.kind == "join"] == [("join", "untaken")]
    (way,) = [i for i, e in enumerate(picture.edges) if (e.source, e.kind) == ("pay", "join")]
    assert not [frame for frame in frames(diagram(spec), run) if f"e{way}" in frame["e"]]
