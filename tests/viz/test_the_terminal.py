"""The drawing in characters."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from dalsegno import viz
from dalsegno.cli import screen
from dalsegno.graphs.model import END, START, EdgeSpec, NodeSpec, WorkflowSpec
from dalsegno.viz.extract import diagram
from dalsegno.viz.overlay import Execution, NodeRun, RunView
from dalsegno.viz.remembered import spec_of_shape
from dalsegno.viz.terminal import cells, rows, timeline_rows

ARTICLE = """\
article

● START
   → plan
▢ plan
   → write
⬡ write  agent · ≤ 3 tries · 1 call  ◀─╮
   → review                            │
⬡ review  agent · timeout 30 s         │
   ◇ good → END ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄ ──┼─╮
   ↺ again ≤ 3 → write ┄┄┄┄┄┄┄┄┄┄┄┄┄ ──╯ │
   ⇢ spent → escalate                    │
✎ escalate  human · asks a human         │
   → END                                 │
◎ END ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄ ◀───╯
"""


def test_arcs_lead_to_where_an_edge_leads(article: WorkflowSpec) -> None:
    assert viz.to_text(article) == ARTICLE


def test_nodes_stand_in_the_order_in_which_a_run_reaches_them_also_one_that_leads_to_itself() -> None:
    ways = (EdgeSpec("b", "b", "choice", label="b"), EdgeSpec("b", END, "choice", label="end"))
    nodes = {name: NodeSpec(name) for name in ("alone", "b")}
    text = viz.to_text(WorkflowSpec("w", nodes=nodes, edges=(EdgeSpec(START, "b"), *ways)))
    assert text.index("▢ b") < text.index("▢ alone")


def test_every_node_and_edge_has_its_line_once(spec: WorkflowSpec) -> None:
    picture, made = diagram(spec), rows(diagram(spec))
    boxes = [n.id for n in picture.nodes if n.kind != "join"] + [c.id for c in picture.clusters]
    assert sorted(r.enters for r in made if r.enters) == sorted(boxes)
    assert sum(r.leaves is not None for r in made) == len(picture.edges)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_text_keeps_to_its_width(spec: WorkflowSpec, width: int) -> None:
    assert all(cells(row.text) <= max(48, width) for row in rows(diagram(spec), width=width))


def test_names_write_nothing_else_on_the_terminal(hostile_names: Mapping[str, str]) -> None:
    for name in hostile_names.values():
        text = viz.to_text(WorkflowSpec("w", nodes={name: NodeSpec(name)}))
        assert not [c for c in text if (ord(c) < 32 and c != "\n") or c in "\x7f\u202e"]


def test_a_run_shows_its_counts_and_its_mark(article: WorkflowSpec, interrupted: RunView) -> None:
    text = viz.to_text(article, run=interrupted)
    assert "↺ again 3/3 → write" in text
    assert "‖ waits for a human  ↻ resumes here" in text


@pytest.mark.parametrize("width", [40, 60, 80])
def test_what_a_run_did_is_told_of_nodes_with_much_that_was_declared_and_with_long_names(width: int) -> None:
    declared = {"retry": 1, "breaker": 1, "rate_limit": 1, "fallback": 1, "cache": 1, "budget": 1}
    nodes = {
        "plain": NodeSpec("plain", timeout=30, effect=True, idempotent=True, defer=True, policies=declared),
        "summarize_every_document_of_the_folder": NodeSpec("summarize_every_document_of_the_folder"),
    }
    run = RunView("r", "t", "w", "completed", {name: NodeRun(12, "failed") for name in nodes})
    told = [row.text for row in rows(diagram(WorkflowSpec("w", nodes=nodes), run=run), width=width)]
    assert [text[0] for text in told if "✕ failed" in text] == ["▢", "▢"]
    assert all(cells(text) <= max(32, width) for text in told)


def test_how_often_an_edge_was_taken_stands_behind_where_it_leads(article: WorkflowSpec) -> None:
    run = RunView(
        "r", "t", "w", "completed", edges={("plan", "write", None): 3, ("review", "write", "again"): 2}
    )
    lines = [
        line.split(" ┄")[0].split("  ")[0]
        for line in map(str.strip, viz.to_text(article, run=run).split("\n"))
    ]
    assert "→ write ×3" in lines
    assert "↺ again 2/3 → write" in lines


def test_what_is_drawn_from_the_ledger_has_what_follows_a_spent_loop_behind_it(article: WorkflowSpec) -> None:
    lines = [line.strip()[:3].strip() for line in viz.to_text(spec_of_shape(article.shape())).split("\n")]
    assert lines.index("↺ a") < lines.index("⇢ s")


def test_the_timeline_has_a_column_for_each_superstep() -> None:
    steps = (
        Execution("a", 1),
        Execution("s/x", 1, entry="s#1"),
        Execution("s/y", 2, entry="s#1", status="failed"),
        Execution("s", 2, child="s#1", status="failed"),
        *(Execution("b", 2, index=i) for i in range(3)),
    )
    lines = [
        "".join(text for text, _ in row).rstrip()
        for row in timeline_rows(RunView("r", "t", "w", "failed", executions=steps))
    ]
    assert lines == ["     1 2", "a    ✓ · ·", "s    · ✕━━━", "s/x  · ✓ ·", "b    · 3✓·", "s/y  · · ✕"]


def test_text_and_mermaid_need_no_graphviz(
    article: WorkflowSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    for suffix in ("txt", "mmd", "dot"):
        assert viz.draw(article, tmp_path / f"a.{suffix}").read_text()


@pytest.mark.parametrize("count", [cells, screen.cells])
def test_what_is_set_over_a_letter_or_not_seen_takes_no_cell(count: Callable[[str], int]) -> None:
    wide, marked, thai, unseen = "日本", "e\u0301", "\u0e17\u0e35\u0e48", "a\u200bb\u2060"
    assert [count(text) for text in ("ab", wide, marked, thai, unseen)] == [2, 4, 1, 1, 2]
