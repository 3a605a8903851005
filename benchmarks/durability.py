"""`python -m benchmarks.durability`: kills runs, and writes docs/durability.md from what became of them.

Exits with 1 where anything was lost, done twice, damaged or not resumed. ``--scale 0.01`` makes so much less
of each, in seconds; all of it takes half an hour on two busy cores, and with ``--results`` a measurement that was
interrupted is gone on with. Linux only: it traces processes.
"""

from __future__ import annotations

import argparse
import json
import operator
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.types import Send

from benchmarks import durability_page
from dalsegno import END, START, Each, Loop, Runner, SqliteCheckpointer, Workflow
from dalsegno.checkpoints import maintenance
from dalsegno.testing import crash_test
from dalsegno.testing.crash_kit.upkeep import interrupted

LINGER = 0.002
INPUT = {"topic": "rain", "notes": []}


class Notes(TypedDict, total=False):
    topic: str
    notes: Annotated[list[str], operator.add]
    rounds: int
    item: str


def ten_nodes() -> Workflow:
    """Ten nodes: two branches that are joined, a fan-out to four, and a loop that goes round three times."""

    def note(name: str) -> Callable[[Notes], Any]:
        return lambda state: {"notes": [f"{name} after {len(state.get('notes', []))}"]}

    def draft(state: Notes) -> dict[str, Any]:
        return {"rounds": state.get("rounds", 0) + 1, "notes": [f"draft {state.get('rounds', 0) + 1}"]}

    def deal(state: Notes) -> list[Send]:
        return [Send("work", {"item": f"item {number}"}) for number in range(4)]

    flow = Workflow("ten nodes", Notes)
    for name in ("plan", "left", "right", "deal", "gather", "review", "publish", "archive"):
        flow.add_node(name, note(name))
    flow.add_node("draft", draft)
    flow.add_node("work", lambda state: {"notes": [f"worked on {state['item']}"]})
    flow.add_edge(START, "plan").add_edge("plan", "left").add_edge("plan", "right")
    flow.add_edge(["left", "right"], "deal").add_conditional_edges("deal", deal, [Each("work", max=4)])
    flow.add_edge("work", "gather").add_edge("gather", "draft").add_edge("draft", "review")
    flow.add_conditional_edges(
        "review",
        lambda state: "good" if state["rounds"] > 2 else "again",
        {"good": "publish", "again": Loop("draft", max=4, on_exhausted="publish")},
    )
    return flow.add_edge("publish", "archive").add_edge("archive", END)


@dataclass(frozen=True)
class Case:
    """One row: crash tests of one kind, `kills` in all (None: as many as there are points), `parts` times with
    another seed and, for power cuts, another run that was written down."""

    what: str
    profile: str
    linger: float
    options: dict[str, Any]
    kills: int | None = None
    parts: int = 1


_WAYS: tuple[tuple[str, float, dict[str, Any], int | None, int], ...] = (
    ("killed right before and right after every commit", 0, {"at": "every commit"}, None, 1),
    ("killed before and halfway through every write", 0, {"at": "every write"}, None, 1),
    ("the same, and the process that resumes too", LINGER, {"at": "every write", "again": 1}, None, 1),
    ("killed at random moments", LINGER, {"at": "random"}, 1000, 1),
    ("the power cut", 0, {"at": "power cuts"}, 1000, 4),
    ("the power cut, and cut again", LINGER, {"at": "power cuts", "again": 1}, 1000, 4),
    ("the disk full from every write on", LINGER, {"at": "disk full"}, None, 1),
    ("an error at every write and sync", LINGER, {"at": "io errors"}, None, 1),
    ("killed at writes, and resumed by two at once", LINGER, {"at": "every write", "resumers": 2}, 200, 1),
)

CASES = tuple(
    Case(what, profile, linger, options, kills, parts)
    for profile in ("durable", "fast")
    for what, linger, options, kills, parts in _WAYS
)


@dataclass(frozen=True)
class Row:
    """What became of one case: `lost` checkpoints, `again` executions that were committed, `failed` resumes, runs
    with `other` results."""

    what: str
    profile: str
    linger: float
    kills: int
    resumed: int
    lost: int
    again: int
    failed: int
    damaged: int
    other: int
    in_flight: int
    taken: int
    wrong: tuple[str, ...]


def measured(case: Case, scale: float = 1.0) -> Row:
    """Do all of a case, or a part of it."""
    parts = case.parts if scale >= 1 else 1
    wanted = case.kills if scale >= 1 else max(4, round((case.kills or 600) * scale))
    reports = [
        crash_test(
            ten_nodes,
            INPUT,
            profile=case.profile,  # type: ignore[arg-type]  # the two names there are
            linger=case.linger,
            kills=None if wanted is None else wanted // parts,
            seed=part,
            **case.options,
        )
        for part in range(parts)
    ]
    points = [point for report in reports for point in report.points]
    return Row(
        case.what,
        case.profile,
        case.linger,
        kills=sum(report.kills for report in reports),
        resumed=sum(point.resumed for point in points),
        lost=sum(len(point.forgotten) for point in points),
        again=sum(len(point.lost) for point in points),
        failed=sum(point.error is not None for point in points),
        damaged=sum(point.damage is not None for point in points),
        other=sum(bool(point.different or point.missing or point.unexpected) for point in points),
        in_flight=sum(len(point.repeated) for point in points),
        taken=sum(len(point.rolled_back) for point in points),
        wrong=tuple(str(point) for point in points if not point.ok),
    )


@dataclass(frozen=True)
class Upkeep:
    """What became of an operation on a whole database."""

    what: str
    how: str
    kills: int
    undone: int
    done: int
    wrong: tuple[str, ...]


def _content(path: Path) -> list[Any]:
    with SqliteCheckpointer(path) as saver:
        problems = maintenance.check(saver.database)
        assert not problems, problems
        return sorted(
            (one.checkpoint["id"], repr(one.checkpoint["channel_values"])) for one in saver.list(None)
        )


def _prune(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        maintenance.prune(saver.database)


def _delete(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        maintenance.delete_thread(saver.database, "t1")


def _vacuum(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        maintenance.vacuum(saver.database)


UPKEEP = tuple(
    (what, how, operation)
    for what, operation in (("prune", _prune), ("delete a thread", _delete), ("vacuum", _vacuum))
    for how in ("every write", "power cuts")
)


def upkeep(scale: float = 1.0) -> Iterator[Upkeep]:
    """Interrupt what is done to whole databases."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        with Runner(ten_nodes(), db=path) as runner:
            for thread in ("t1", "t2", "t3"):
                runner.run(INPUT, thread=thread)
        for what, how, operation in UPKEEP:
            kills = 500 if how == "power cuts" else None
            if scale < 1:
                kills = max(4, round(500 * scale))
            done = interrupted(operation, path, _content, at=how, kills=kills)  # type: ignore[arg-type]
            yield Upkeep(what, how, done.kills, done.undone, done.done, done.wrong)


def main() -> int:
    """Measure, and write the page or print its tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.durability")
    parser.add_argument("--scale", type=float, default=1.0, help="so much of everything; default 1")
    parser.add_argument(
        "--only", metavar="WORDS", default="", help="only rows whose profile or words these are"
    )
    parser.add_argument("--results", type=Path, help="keep the rows here, and measure none that is there")
    parser.add_argument("--write", type=Path, help="the page to write, docs/durability.md")
    given = parser.parse_args()
    kept = {}
    if given.results is not None and given.results.exists():
        kept = {(one["what"], one["profile"]): one for one in map(json.loads, given.results.open())}
    rows: list[Row] = []
    for case in CASES:
        if given.only not in (case.profile, "") and given.only not in case.what:
            continue
        known = kept.get((case.what, case.profile))
        row = Row(**known) if known else measured(case, given.scale)
        rows.append(row)
        print(durability_page.row(row), *row.wrong[:5], sep="\n", flush=True)
        if given.results is not None and not known:
            with given.results.open("a") as file:
                file.write(json.dumps(asdict(row)) + "\n")
    operations: list[Upkeep] = []
    for one in upkeep(given.scale) if not given.only else ():
        operations.append(one)
        print(durability_page.upkeep_row(one), *one.wrong[:5], sep="\n", flush=True)
    if given.write:
        given.write.write_text(durability_page.page(rows, operations))
    return int(any(row.wrong for row in rows) or any(one.wrong for one in operations))


if __name__ == "__main__":
    sys.exit(main())
