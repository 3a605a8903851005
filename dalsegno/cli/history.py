"""`dalsegno history`: the checkpoints of a thread, newest first."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dalsegno.cli import options
from dalsegno.cli.exits import COMPLETED, reporting
from dalsegno.errors import UnknownThread, did_you_mean

if TYPE_CHECKING:
    from dalsegno.checkpoints import Ledger

_NEXT = "branch:to:"
_SENT = "__pregel_tasks"
_ENOUGH = 16
"""Cells for the nodes that come next, on a terminal."""


@reporting
def command(
    thread: Annotated[str, typer.Argument(metavar="THREAD", help="The thread's name.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Show at most this many.")] = 50,
    db: options.Db = None,
    as_json: options.Json = False,
) -> int:
    """List the checkpoints of a thread, newest first.

    For each: its step, the run that wrote it, and the nodes that come next.
    """
    from dalsegno.cli.screen import Screen, one_line, print_json

    ledger = options.existing_ledger(db)
    if ledger is None:
        raise UnknownThread(options.nothing_here(), thread=thread)
    try:
        found = list(_checkpoints(ledger, thread, limit + 1))
        known = dict.fromkeys(r.thread for r in ledger.runs(limit=1000)) if not found else {}
    finally:
        ledger.database.close()
    if not found:
        raise UnknownThread(
            f"There is no checkpoint of thread `{thread}` in `{ledger.database.path}`"
            f"{did_you_mean(thread, known) or '.'} `dalsegno runs` lists what was run.",
            thread=thread,
        )
    if as_json:
        print_json(found[:limit])
        return COMPLETED
    screen = Screen(sys.stdout)
    written = _in_words([entry["created_at"] for entry in found[:limit]])
    rows = [
        ("checkpoint", "step", "source", "run", "written", "next"),
        *(
            (
                entry["checkpoint_id"],
                str(entry["step"]),
                str(entry["source"]),
                (entry["run_id"] or "–")[:8],
                at,
                one_line(", ".join(entry["next"])),
            )
            for entry, at in zip(found[:limit], written, strict=True)
        ),
    ]
    heads, *told = _fitting(rows, screen.columns) if screen.is_terminal else rows
    screen.table(heads, told, right=(1,))
    if len(found) > limit:
        screen.line(screen.paint(f"The newest {limit}; --limit shows more.", "dim"))
    return COMPLETED


def _fitting(rows: Sequence[tuple[str, ...]], columns: int) -> Sequence[tuple[str, ...]]:
    """The rows without the time, and without the source, where the nodes that come next had no room beside them."""
    from dalsegno.cli.screen import cells

    for number in (4, 2):
        *wide, last = (max(map(cells, column)) for column in zip(*rows, strict=True))
        if columns - sum(wide) - 2 * len(wide) < min(last, _ENOUGH):
            rows = [(*row[:number], *row[number + 1 :]) for row in rows]
    return rows


def _checkpoints(ledger: Ledger, thread: str, limit: int) -> Iterator[dict[str, Any]]:
    """The checkpoints of the outermost workflow; values are only looked at, so of any type."""
    from dalsegno.checkpoints import open_checkpointer
    from dalsegno.checkpoints.strict import PlainReader

    saver = open_checkpointer(ledger.database, serde=PlainReader())
    nodes = cache(partial(_nodes, ledger))
    config: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
    for kept in saver.list(config, limit=limit):
        values = kept.checkpoint["channel_values"]
        coming = [name.removeprefix(_NEXT) for name in values if name.startswith(_NEXT)]
        coming += [str(getattr(send, "node", "?")) for send in values.get(_SENT) or ()]
        coming += [name.rpartition(":")[2] for name, seen in values.items() if _is_complete(name, seen)]
        metadata: Any = kept.metadata
        yield {
            "checkpoint_id": kept.config["configurable"]["checkpoint_id"],
            "step": metadata.get("step"),
            "source": metadata.get("source"),
            "run_id": metadata.get("run_id"),
            "created_at": kept.checkpoint.get("ts"),
            "next": [name for name in dict.fromkeys(coming) if _is_of(nodes(metadata.get("run_id")), name)],
        }


def _nodes(ledger: Ledger, run_id: str | None) -> frozenset[str] | None:
    """The nodes that are a run's; what was pending of one that was given up stays beside them in its thread."""
    run = ledger.one(run_id, plain=True) if run_id else None
    if run is None or run.shape is None:
        return None
    return frozenset((*run.shape["nodes"], *(done.node for done in ledger.executions(run.run_id))))


def _is_of(nodes: frozenset[str] | None, name: str) -> bool:
    return nodes is None or name in nodes or name.startswith("__")


def _in_words(stamps: Sequence[Any]) -> list[str]:
    """When checkpoints were written, by the clock of this machine; with the day, where it is not today for all."""
    moments = [_moment(stamp) for stamp in stamps]
    is_today = all(at is None or at.date() == datetime.now().date() for at in moments)
    return [
        "–" if at is None else at.strftime("%H:%M:%S.%f" if is_today else "%Y-%m-%d %H:%M:%S.%f")[:-3]
        for at in moments
    ]


def _moment(stamp: Any) -> datetime | None:
    """The time that LangGraph has put into a checkpoint, in this machine's zone; None where it is none."""
    try:
        return datetime.fromisoformat(stamp).astimezone()
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _is_complete(name: str, seen: Any) -> bool:
    """Whether a join has all it waits for: its channel is named ``join:a+b:target``, and holds those seen."""
    if not name.startswith("join:") or not isinstance(seen, set | list | tuple):
        return False
    return sorted("+".join(map(str, seen))) == sorted(name.removeprefix("join:").rpartition(":")[0])
