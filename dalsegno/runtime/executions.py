"""The executions of a run, for its timeline."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from dalsegno.nodes.paths import around, coded, prefix_of
from dalsegno.viz.overlay import Execution, NodeStatus

if TYPE_CHECKING:
    from dalsegno.checkpoints import ExecutionRecord, ExecutionStatus

GIVEN_UP = ("KeyboardInterrupt", "CancelledError")
"""What a node raises that did nothing wrong: its run was stopped."""

HANDLER_OF = "__error_handler__"
"""What stands before a node's name where its handler is a node of LangGraph's own."""

_ENDED: tuple[NodeStatus, ...] = ("done", "caught")


def status_of(record: ExecutionRecord) -> NodeStatus:
    """How an execution ended, as a picture tells it."""
    told = (record.error or {}).get("type")
    if told in GIVEN_UP:
        return "pending"
    status: ExecutionStatus = record.status
    return "caught" if status == "done" and told else status


def executions_of(records: Iterable[ExecutionRecord], running: Iterable[str] = ()) -> tuple[Execution, ...]:
    """The executions of a run for its timeline; `running` are the places of nodes that have begun and not ended.

    A subworkflow that was entered and has not ended has no execution of its own yet: it is `running`, or
    what stopped within it tells how it stands.
    """
    found: dict[tuple[str, Any, Any], Execution] = {}
    routed: dict[tuple[str, str, int], list[tuple[str, str | None]]] = defaultdict(list)
    beside: dict[str, list[ExecutionRecord]] = defaultdict(list)
    began: dict[str, ExecutionRecord] = {}
    for record in records:
        prefix = prefix_of(record.place)
        ways = tuple((prefix + coded(target), label) for target, label, _ in record.targets)
        if record.occurrence == 0:
            routed[record.place, "", record.superstep] += ways
            continue
        key = (record.place, record.occurrence, record.index)
        before = found.get(key)
        entry = entry_of(record)
        error = record.error or {}
        status = status_of(record)
        again = before is not None and (
            before.again or (record.attempt <= before.attempts and status != "caught")
        )
        found[key] = Execution(
            node=record.place,
            superstep=record.superstep,
            status=status,
            entry=entry,
            child=f"{record.place}#{_within(record)}",
            index=record.index,
            attempts=record.attempt,
            seconds=record.seconds,
            error=f"{error['type']}: {error['message']}" if error else None,
            targets=ways if record.status == "done" else (),
            again=again,
        )
        beside[entry].append(record)
        while entry:
            began.setdefault(entry, record)
            entry = _entry_around(entry)
    executed = _with_decisions(list(found.values()), routed)
    executed += _entered(executed, began, beside)
    last = max((e.superstep for e in executed if not e.entry), default=0)
    known = {e.node for e in executed if e.superstep == last and not e.entry}
    for name in running:
        step = last + 1 if known and name not in known and not _in_flight(executed, last) else last
        if not any(e.node == name and e.superstep == step and e.status == "running" for e in executed):
            executed.append(Execution(name, max(1, step), "running"))
    return tuple(executed)


def entry_of(record: ExecutionRecord) -> str:
    """Which entry of its workflow an execution belongs to; empty for the outermost."""
    outer = around(record.place)
    return f"{outer}#{str(record.occurrence).rpartition('/')[0]}" if outer else ""


def _entry_around(entry: str) -> str:
    """The entry that an entry lies in; empty for one of the outermost workflow."""
    path, _, within = entry.partition("#")
    outer = around(path)
    return f"{outer}#{within.rpartition('/')[0]}" if outer else ""


def _within(record: ExecutionRecord) -> str:
    """How the executions within this one begin their occurrence."""
    return f"{record.occurrence}.{record.index}"


def _with_decisions(
    executed: list[Execution], routed: Mapping[tuple[str, str, int], list[tuple[str, str | None]]]
) -> list[Execution]:
    """Decisions that were taken outside of an execution, given to the last execution of their node."""
    waiting = {(node, step): ways for (node, _, step), ways in routed.items()}
    given = []
    for execution in reversed(executed):
        more = waiting.pop((execution.node, execution.superstep), None)
        given.append(replace(execution, targets=(*execution.targets, *more)) if more else execution)
    return given[::-1]


def _entered(
    executed: list[Execution],
    began: Mapping[str, ExecutionRecord],
    beside: Mapping[str, list[ExecutionRecord]],
) -> list[Execution]:
    """Subworkflows that were entered and have not ended."""
    closed = {e.child for e in executed}
    found: list[Execution] = []
    # The innermost first: how they stand tells how what is around them does.
    for entry, first in sorted(began.items(), key=lambda known: -_depth(known[0])):
        if entry in closed:
            continue
        path = entry.partition("#")[0]
        inner = [e for e in (*executed, *found) if e.entry == entry]
        status: NodeStatus = next((e.status for e in reversed(inner) if e.status not in _ENDED), "running")
        level = _entry_around(entry)
        before = [r.superstep for r in beside.get(level, ()) if r.started_at + r.seconds <= first.started_at]
        step = max(before, default=0) + 1
        found.append(Execution(path, step, status, entry=level, child=entry))
    return found


def _in_flight(executed: list[Execution], superstep: int) -> bool:
    return any(not e.entry and e.superstep == superstep and e.status not in _ENDED for e in executed)


def longest_walk(executions: Iterable[Execution]) -> int:
    """Supersteps of the longest walk through executions: each follows those that led to it, one superstep before, and
    a subworkflow weighs one more than the longest walk in it. One that was cut short has used none."""
    levels: dict[str, list[Execution]] = defaultdict(list)
    for execution in executions:
        levels[execution.entry].append(execution)
    lengths: dict[str, int] = {}
    # The innermost first: what lies within an entry has a longer path than it.
    for entry in sorted(levels, key=_depth, reverse=True):
        led: dict[str, int] = {}
        longest = 0
        for _, together in groupby(sorted(levels[entry], key=_superstep), key=_superstep):
            leads: dict[str, int] = {}
            before = longest
            for execution in together:
                inside = lengths.get(execution.child, 0)
                own = 1 if inside or execution.status in _ENDED else 0
                walk = led.get(execution.node, before) + own + inside
                longest = max(longest, walk)
                for target, _ in execution.targets:
                    leads[target] = max(leads.get(target, 0), walk)
            led = leads
        lengths[entry] = longest
    return lengths.get("", 0)


def _superstep(execution: Execution) -> int:
    return execution.superstep


def _depth(entry: str) -> int:
    """How many subworkflows an entry lies in."""
    return entry.partition("#")[0].count("/") + 1 if entry else 0
