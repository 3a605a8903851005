"""The run as a score: where each execution stands, and what interrupts it."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

from dalsegno import viz
from dalsegno.graphs.model import WorkflowSpec
from dalsegno.viz.captions import caption
from dalsegno.viz.overlay import Execution, RunView, Used
from dalsegno.viz.placed_score import bars_and_score
from dalsegno.viz.timeline import last_columns, score, timeline

SVG = "{http://www.w3.org/2000/svg}"

NESTED = (
    Execution("plan", 1),
    Execution("sub/x", 1, entry="sub#1"),
    Execution("sub/y", 2, entry="sub#1"),
    Execution("sub", 2, child="sub#1"),
    Execution("beside", 2),
    Execution("end", 3),
)


def _run(*steps: Execution, **more: object) -> RunView:
    return replace(RunView("r", "t", "w", "completed", executions=steps), **more)  # type: ignore[arg-type]


def _groups(run: RunView, name: str, room: float | None = None) -> list[ET.Element]:
    root = ET.fromstring(f'<svg xmlns="{SVG[1:-1]}">{timeline(run, room=room).markup}</svg>')
    return [g for g in root.iter(f"{SVG}g") if name in g.get("class", "").split()]


def test_executions_of_one_superstep_stand_in_one_column() -> None:
    placed = score((Execution("a", 1), Execution("b", 1), Execution("c", 2)))
    assert [(n.node, n.column) for n in placed.notes] == [("a", 0), ("b", 0), ("c", 1)]
    assert placed.columns == ("1", "2")


def test_a_subworkflow_is_as_long_as_what_is_within_it() -> None:
    placed = score(NESTED)
    assert {n.node: (n.column, n.span) for n in placed.notes} == {
        "plan": (0, 1), "sub/x": (1, 1), "sub/y": (2, 1), "sub": (1, 2), "beside": (1, 1), "end": (3, 1),
    }  # fmt: skip
    assert placed.columns == ("1", "2", "", "3")
    assert placed.ends == (1, 1, 2, 3)


def test_a_subworkflow_that_is_entered_again_has_its_supersteps_again() -> None:
    again = (Execution("sub/x", 1, entry="sub#2"), Execution("sub", 3, child="sub#2"))
    placed = score((*NESTED[:4], *again))
    assert [n.column for n in placed.notes if n.node == "sub/x"] == [1, 3]


def test_a_subworkflow_of_one_superstep_stands_over_what_is_in_it() -> None:
    executions = (Execution("sub/in/x", 1, entry="in#1"), Execution("sub/in", 1, entry="sub#1", child="in#1"))
    beside = (Execution("sub", 1, child="sub#1"), Execution("beside", 1))
    assert score((*executions, *beside)).rows == ("sub", "sub/in", "sub/in/x", "beside")


def test_a_fan_out_is_one_note_that_says_how_many() -> None:
    run = _run(*(Execution("fetch", 1, index=i, seconds=i / 10) for i in range(3)))
    (note,) = _groups(run, "note")
    assert note.findtext(f"{SVG}g/{SVG}text") == "×3"
    assert note.findtext(f"{SVG}title") == "fetch · superstep 1 · done · 3 in parallel · 200 ms"


def test_the_worst_of_a_fan_out_is_shown() -> None:
    run = _run(Execution("f", 1, index=0), Execution("f", 1, "failed", index=1, error="no"))
    (note,) = _groups(run, "failed")
    assert (note.findtext(f"{SVG}title") or "").endswith("failed · 2 in parallel · no")


def test_what_is_executed_in_parallel_entries_of_a_subworkflow_is_one_note_too() -> None:
    entries = ("sub#1.0", "sub#1.1", "sub#1.2")
    inner = [Execution("sub/x", 1, "failed" if e == entries[0] else "done", entry=e) for e in entries]
    outer = [Execution("sub", 1, index=i, child=e) for i, e in enumerate(entries)]
    longer = Execution("sub/y", 2, entry=entries[1])
    run = _run(*inner, longer, *outer)
    notes = {n.node: (n.column, n.span, n.status, len(n.executions)) for n in score(run.executions).notes}
    assert notes == {
        "sub/x": (0, 1, "failed", 3), "sub/y": (1, 1, "done", 1), "sub": (0, 2, "done", 3),
    }  # fmt: skip
    assert len(score(run.executions).notes) == 3
    assert [g.findtext(f"{SVG}g/{SVG}text") for g in _groups(run, "failed")] == ["×3"]


def test_tries_waits_and_what_was_done_again_can_be_seen() -> None:
    run = _run(Execution("a", 1, attempts=3), Execution("b", 2, "interrupted"), Execution("c", 3, again=True))
    ticks = [
        p.get("d", "")
        for g in _groups(run, "note")
        for p in g.iter(f"{SVG}path")
        if p.get("class") == "again"
    ]
    assert len(ticks) == 1
    assert ticks[0].count("M") == 2  # two more tries
    assert _groups(run, "waits")
    assert _groups(run, "repeated")
    (cut,) = _groups(run, "cut")
    assert "executed again" in (cut.findtext(f"{SVG}title") or "")


def test_a_resume_is_a_double_bar_where_it_went_on() -> None:
    run = _run(*NESTED, resumed_from=1, resumes=1)
    (bar,) = _groups(run, "resume")
    assert bar.findtext(f"{SVG}title") == "resumed here, after superstep 1"
    drawn = timeline(run)
    x = drawn.left + drawn.column  # before the second column
    assert [p.get("d", "").startswith(f"M{x - 1.5:.1f} ") for p in bar.iter(f"{SVG}path")] == [True]


def test_every_resume_is_a_bar_of_its_own() -> None:
    run = _run(*(Execution("a", i) for i in range(1, 9)), resumed_from=6, marks=(3, 6), resumes=3)
    said = [bar.findtext(f"{SVG}title") for bar in _groups(run, "resume")]
    assert said == ["resumed here, after superstep 3", "resumed here, after superstep 6"]
    lines = list(bars_and_score(run, 0.0, 700.0, lambda name, at, text, size, color: text))
    assert sum(line.startswith('"resume') for line in lines) == 4
    assert "resumed from supersteps 3 and 6" in caption(run, None)


def test_a_long_run_keeps_to_its_room() -> None:
    run = _run(*(Execution("a", i) for i in range(1, 501)))
    assert timeline(run, room=700).width < 1700
    assert timeline(run).width > 10_000


def test_of_a_very_long_run_a_picture_shows_the_last_columns_and_says_so() -> None:
    run = replace(_run(*(Execution("a", i) for i in range(1, 10_001))), resumed_from=100)
    drawn = timeline(run, room=700)
    assert drawn.width < 1700
    assert drawn.markup.count('class="note') == 500
    assert "the last 500 of 10,000 columns" in drawn.markup
    assert "resumed here" not in drawn.markup
    assert "resumed here" in timeline(replace(run, resumed_from=9_900), room=700).markup
    lines = list(bars_and_score(run, 0.0, 700.0, lambda name, at, text, size, color: text))
    assert "the last 500 of 10,000 columns" in lines
    assert sum(line.startswith('"note') for line in lines) == 500
    assert not any(line.startswith('"resume') for line in lines)


def test_what_began_before_the_columns_that_are_shown_goes_on_into_them() -> None:
    shown = last_columns(score(NESTED), 2)
    assert {n.node: (n.column, n.span) for n in shown.notes} == {
        "sub/y": (0, 1),
        "sub": (0, 1),
        "end": (1, 1),
    }
    assert shown.columns == ("", "3")


def test_proved_against_used_are_bars(article: WorkflowSpec) -> None:
    run = _run(
        Execution("plan", 1),
        used=(Used("supersteps", 5, 10), Used("model calls", 12, 9), Used("tokens", 1200)),
    )
    root = ET.fromstring(viz.svg(article, run=run))
    measures = [g.findtext(f"{SVG}title") for g in root.iter(f"{SVG}g") if g.get("class") == "measure"]
    assert measures == ["supersteps: 5 of 10", "model calls: 12 of 9", "tokens: 1,200, no bound"]
    over = [p for p in root.iter(f"{SVG}path") if p.get("class") == "over"]
    assert len(over) == 1


def test_waiting_dashes_are_in_the_style(article: WorkflowSpec) -> None:
    assert ".dalsegno .waits>g>.card{stroke-dasharray" in viz.svg(article)
