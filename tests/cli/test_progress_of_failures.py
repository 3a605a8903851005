"""What the progress of a run says of failures that are caught, and of names that take room."""

from __future__ import annotations

import io
from typing import Any

from dalsegno.cli.progress import Progress
from dalsegno.cli.screen import Screen, cells
from dalsegno.graphs.model import NodeSpec, WorkflowSpec
from dalsegno.nodes.execution import Taken
from dalsegno.runtime.events import NodeFinished, NodeStarted, PolicyActed, RunFinished

COMMON: dict[str, Any] = {"run_id": "r1", "thread": "t", "at": 1.0, "superstep": 2, "attempt": 1}


def _said(*events: Any) -> list[str]:
    lines: list[str] = []
    spec = WorkflowSpec("shop", nodes={"pay": NodeSpec("pay")})
    progress = Progress(spec, 3, lines.append, Screen(io.StringIO()), lambda run_id: None)
    for event in events:
        progress(event)
    return [" ".join(line.split()) for line in lines]


def _ended(index: int | None, caught: str | None, *ways: Taken) -> NodeFinished:
    more = {"node": "pay", "occurrence": 1, "index": index, "seconds": 0.5, "taken": ways, "caught": caught}
    return NodeFinished(**COMMON, **more)


def test_a_caught_failure_says_so_and_where_it_leads() -> None:
    assert _said(_ended(None, "ValueError: declined", Taken("sorry"))) == [
        "superstep 2 pay caught 0.50 s → sorry"
    ]


def test_those_of_a_fan_out_are_counted_on_its_line() -> None:
    detail = {"by": None, "error": "ValueError", "message": "declined"}
    acted = {"policy": "fallback", "what": "answered", "detail": detail}
    caught = PolicyActed(**COMMON, node="pay", occurrence=1, index=0, **acted)
    over = RunFinished(run_id="r1", thread="t", at=2.0, workflow="shop", status="completed", seconds=1.0)
    assert _said(caught, _ended(0, "ValueError: declined"), _ended(1, None), over) == [
        "superstep 2 pay ×2 done 0.50 s 1 failed, caught"
    ]


def test_what_stands_behind_names_is_in_one_column_also_where_they_are_wide_or_very_long() -> None:
    lines: list[str] = []
    names = ("pay", "支払い", "a" * 300)
    spec = WorkflowSpec("shop", nodes={name: NodeSpec(name) for name in names})
    progress = Progress(spec, 3, lines.append, Screen(io.StringIO()), lambda run_id: None)
    for name in names:
        progress(NodeFinished(**COMMON, node=name, occurrence=1, index=None, seconds=0.5, taken=()))
    short, wide, long = (cells(line.partition("done")[0]) for line in lines)
    assert short == wide < 80 < long


def test_a_name_does_nothing_to_the_line_of_what_runs_now() -> None:
    name = "one\ntwo\x1b[2J"
    spec = WorkflowSpec("shop", nodes={name: NodeSpec(name)})
    progress = Progress(spec, 3, print, Screen(io.StringIO()), lambda run_id: None, clock=lambda: 2.0)
    progress(NodeStarted(**COMMON, node=name, occurrence=1, index=None))
    assert progress.running_now() == "superstep 2 of at most 3  one two\ufffd[2J 1.00 s"


def test_a_line_is_written_in_one_piece_also_where_it_cannot_be_encoded() -> None:
    """Nodes that run side by side print at the same time: the end of a line came after another one's beginning."""

    class Pieces(io.StringIO):
        encoding = "ascii"

        def write(self, text: str) -> int:
            text.encode("ascii")
            pieces.append(text)
            return len(text)

    pieces: list[str] = []
    screen = Screen(Pieces())
    screen.line("one")
    screen.line("zwölf")
    assert [piece for piece in pieces if piece] == ["one\n", "zw?lf\n"]
