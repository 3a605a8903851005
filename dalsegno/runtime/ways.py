"""The ways that a run took through a LangGraph graph without a kernel of ours, whose nodes do not tell them.

What is certain is told: a static edge is taken when its source is done, and another one when its target, which nothing
else led to, was executed in the next superstep. What two edges explain equally well is told of neither.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dalsegno.graphs.model import END
from dalsegno.nodes.paths import name_of, prefix_of
from dalsegno.runtime.executions import entry_of, status_of

if TYPE_CHECKING:
    from dalsegno.checkpoints import ExecutionRecord
    from dalsegno.graphs.model import EdgeSpec, WorkflowSpec

Moment = tuple[str, int]
"""A superstep of one entry of a workflow."""


def with_ways(
    records: Sequence[ExecutionRecord], levels: Sequence[tuple[WorkflowSpec, str]]
) -> list[ExecutionRecord]:
    """The records, those that tell no targets with the ways that were certainly taken from them."""
    specs = {prefix: level for level, prefix in levels}
    told = {r.place for r in records if r.targets}
    if len(told) == len({r.place for r in records}):
        return list(records)
    ended: dict[Moment, set[str]] = defaultdict(set)
    executed: dict[Moment, set[str]] = defaultdict(set)
    latest: Counter[tuple[str, str]] = Counter()
    over: set[str] = set()
    for record in records:
        if record.occurrence != 0:
            name, (entry, step) = name_of(record.place), (entry_of(record), record.superstep)
            executed[entry, step].add(name)
            latest[entry, name] = max(latest[entry, name], step)
            if record.status == "done":
                ended[entry, step].add(name)
                over.add(f"{record.place}#{record.occurrence}.{record.index}")
    found = []
    for record in records:
        level = specs.get(prefix_of(record.place))
        silent = record.place not in told and record.status == "done" and _is_plain(record)
        if level is not None and silent:
            entry, step = entry_of(record), record.superstep
            ways = _ways(record, level, ended[entry, step], executed[entry, step + 1])
            # Where what comes next never ran, and its workflow is over, the node has left that for the parent.
            left = {e.target for e in level.edges if e.target != END and latest[entry, e.target] <= step}
            gone = left if entry in over else ()
            targets = [(edge.target, edge.label, None) for edge in ways if edge.target not in gone]
            record = replace(record, targets=targets)
        found.append(record)
    return found


def _is_plain(record: ExecutionRecord) -> bool:
    """Whether it has no kernel of ours, which counts the executions of its node; one of ours that tells no way took
    none: it left its workflow by a `Command` to the parent."""
    return str(record.occurrence).rpartition("/")[2].startswith("step ")


def _ways(
    record: ExecutionRecord, level: WorkflowSpec, beside: set[str], following: set[str]
) -> Iterator[EdgeSpec]:
    """Of one execution: which edges it took, where `beside` ended with it and `following` was executed next."""
    own, caught = name_of(record.place), status_of(record) == "caught"
    mine = [e for e in level.edges if own in e.origins and e.kind != "join"]
    between = Counter(e.target for e in mine)
    others = {e.target for e in level.edges for source in e.origins if source in beside and source != own}
    led = False
    for edge in mine:
        if edge.kind == "static":
            if not caught:
                yield edge
        elif (edge.kind == "handler") == caught and edge.target in following:
            led = True
            if between[edge.target] == 1 and edge.target not in others:
                yield edge
    ends = [e for e in mine if e.target == END and e.kind != "static" and (e.kind == "handler") == caught]
    if len(ends) == 1 and not led:
        yield ends[0]
