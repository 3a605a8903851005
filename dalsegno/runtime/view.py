"""What the ledger tells about a run, as a picture needs it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from dalsegno.checkpoints.records import seconds_of
from dalsegno.graphs.model import START, WorkflowSpec
from dalsegno.graphs.renaming import today, way_today
from dalsegno.graphs.shaping import levels_in
from dalsegno.nodes.paths import around, coded, prefix_of, shown
from dalsegno.runtime.executions import (
    HANDLER_OF,
    entry_of,
    executions_of,
    longest_walk,
    status_of,
)
from dalsegno.runtime.standing import renamed_shape
from dalsegno.runtime.ways import with_ways
from dalsegno.viz.overlay import NodeRun, RunView, StateAt, Used

if TYPE_CHECKING:
    from dalsegno.checkpoints import ExecutionRecord, Ledger, RunRecord
    from dalsegno.runtime.pending import Pending

Edge = tuple[str, str, str | None]


def run_view(
    ledger: Ledger,
    spec: WorkflowSpec,
    run: RunRecord,
    pending: Pending | None = None,
    *,
    states: tuple[StateAt, ...] = (),
    note: str | None = None,
) -> RunView:
    """A run as the ledger has it, to be laid over the picture of `spec`.

    Parameters
    ----------
    ledger
        Where the run's executions are.
    spec
        The workflow that is drawn.
    run
        The run.
    pending
        What is pending on its thread, if that is known and is this run's.
    states
        The run's states, if they are to be shown (`runtime/states.py`).
    note
        What a reader has to know about the picture.
    """
    history = history_of(in_todays_names(ledger.executions(run.run_id), run), spec)
    run = as_journalled(run, history)
    nodes = _with_costs(history.nodes, spent_by_node(run))
    waiting = list[str]()
    if pending is not None and pending.run_id == run.run_id:
        waiting = [coded(task) for task in (pending.tasks if pending.is_stuck else pending.unfinished)]
    executions = executions_of(history.everything, waiting if run.status == "running" else ())
    if run.status != "running":
        executions = tuple(replace(e, status="pending") if e.status == "running" else e for e in executions)
    for entered in executions:
        # A subworkflow that has not ended has no record of its own.
        if entered.child and entered.seconds is None:
            known = nodes.get(entered.node, NodeRun(0))
            if known.status in ("done", "caught"):
                nodes[entered.node] = replace(known, status=entered.status)
    if run.status == "running":
        for name in waiting:
            nodes[name] = replace(nodes.get(name, NodeRun(0)), status="running", error=None)
    proved = (run.certificate or {}).get("supersteps")
    marks = history.marks(resumed_of(run))
    error = run.error or {}
    where = f"{error['node']}: " if error.get("node") else ""
    return RunView(
        run_id=run.run_id,
        thread=run.thread,
        workflow=run.workflow,
        status=run.status,
        nodes=nodes,
        edges=history.edges,
        pending=tuple(dict.fromkeys(waiting)),
        resumed_from=marks[-1] if marks else None,
        marks=marks,
        supersteps=run.supersteps,
        proved=proved,
        error=f"{where}{error['type']}: {error['message']}" if error else None,
        executions=executions,
        states=states,
        used=tuple(_used(run)),
        resumes=run.resumes,
        note=note,
    )


def as_journalled(run: RunRecord, history: History) -> RunRecord:
    """A run with the supersteps and the seconds that its journal tells of: where its turn has not ended, its
    process was killed, or its database failed, the ledger was not told of them."""
    if not run.is_untold:
        return run
    usage, seconds = run.usage, seconds_of(history.everything)
    if seconds > usage.get("seconds", 0.0):
        usage = {**usage, "seconds": round(seconds, 6)}
    return replace(run, supersteps=max(run.supersteps, history.supersteps), usage=usage)


def resumed_of(run: RunRecord) -> Sequence[float]:
    """When a run was resumed, in unix seconds; of a run of an older version only the last time is known."""
    return run.resumed or ((run.started_at,) if run.resumes else ())


def as_it_stands(ledger: Ledger, run: RunRecord) -> RunRecord:
    """A run with what it has used by now; see `as_journalled`."""
    if not run.is_untold:
        return run
    return as_journalled(run, history_of(ledger.executions(run.run_id), WorkflowSpec(run.workflow)))


def _with_costs(nodes: Mapping[str, NodeRun], spent: Mapping[str, Any]) -> dict[str, NodeRun]:
    """Nodes with what each asked of models, where the run counted that by node."""
    return {
        name: replace(
            node,
            calls=spent.get(shown(name), {}).get("model_calls") or None,
            tokens=spent.get(shown(name), {}).get("tokens") or None,
        )
        for name, node in nodes.items()
    }


def _used(run: RunRecord) -> Iterator[Used]:
    """What the run used, against what was proved of it."""
    proved, usage = run.certificate or {}, run.usage
    yield Used("supersteps", run.supersteps, proved.get("supersteps"))
    for what, name in (("model_calls", "model calls"), ("tokens", "tokens")):
        if usage.get(what) or proved.get(what) is not None:
            yield Used(name, usage.get(what) or 0, proved.get(what))
    # No time is counted for people, routers, reducers and commits: where none is proved, that is all there was.
    if proved.get("seconds") != 0 and (usage.get("seconds") or proved.get("seconds") is not None):
        yield Used("seconds", usage.get("seconds") or 0, proved.get("seconds"))


def spent_by_node(run: RunRecord, what: str = "by_node") -> dict[str, Any]:
    """What a run's usage tells of nodes, by their paths in today's names."""
    names = {shown(old): shown(new) for old, new in _renames(run).items()}
    return {today(node, names): told for node, told in (run.usage.get(what) or {}).items()}


def shape_today(run: RunRecord) -> Mapping[str, Any]:
    """The graph that a run was kept with, in the names its nodes have today."""
    names = _renames(run)
    return renamed_shape(run.shape or {}, names) if names else run.shape or {}


def _renames(run: RunRecord) -> Mapping[str, str]:
    """`{old place: today's place}` of a run that was carried over to renamed nodes."""
    names: Mapping[str, str] = (run.shape or {}).get("was", {})
    return names


def in_todays_names(records: Iterable[ExecutionRecord], run: RunRecord) -> list[ExecutionRecord]:
    """The journal of a run that goes on under old node names, in the names the graph has today."""
    names = _renames(run)
    return [_in_todays_names(record, names) for record in records] if names else list(records)


def _in_todays_names(record: ExecutionRecord, names: Mapping[str, str]) -> ExecutionRecord:
    prefix = prefix_of(record.place)
    targets = [
        way_today((target, label, counter), prefix, names) for target, label, counter in record.targets
    ]
    return replace(_placed(record, today(record.place, names)), targets=targets)


def _placed(record: ExecutionRecord, place: str) -> ExecutionRecord:
    return replace(record, node=shown(place), place=place)


@dataclass(frozen=True)
class History:
    """What was executed in a run, and which ways it took.

    An execution that was repeated after a crash counts once. Nodes are known by their places.
    """

    nodes: Mapping[str, NodeRun]
    edges: Mapping[Edge, int]
    records: tuple[ExecutionRecord, ...] = field(repr=False, default=())
    everything: tuple[ExecutionRecord, ...] = field(repr=False, default=())

    @property
    def supersteps(self) -> int:
        """The length of the longest walk, as the certificate counts: with what was executed inside of subworkflows,
        also of those that were entered and have not ended."""
        return longest_walk(executions_of(self.everything))

    def marks(self, resumed: Sequence[float]) -> tuple[int, ...]:
        """The supersteps after which the run went on, when it was resumed at those times, oldest first."""
        outer = sorted((r.started_at, r.superstep) for r in self.records if not around(r.place))
        supersteps = [superstep for _, superstep in outer]
        first_from = [*accumulate(reversed(supersteps), min)][::-1]
        last = max(supersteps, default=0)
        places = [bisect_left(outer, (moment,)) for moment in resumed]
        return tuple(dict.fromkeys(first_from[at] - 1 if at < len(outer) else last for at in places))


def history_of(records: Iterable[ExecutionRecord], spec: WorkflowSpec) -> History:
    """What the journal of a run amounts to."""
    everything = with_ways([_of_its_node(record) for record in records], tuple(levels_in(spec)))
    executed = [r for r in everything if r.occurrence != 0]
    routed = [r for r in everything if r.occurrence == 0]
    # An attempt that failed and was repeated is told by the last word on its execution.
    last = {(record.place, record.occurrence, record.index): record for record in executed}
    nodes: dict[str, list[ExecutionRecord]] = defaultdict(list)
    edges: Counter[Edge] = Counter()
    for record in last.values():
        nodes[record.place].append(record)
        prefix = prefix_of(record.place)
        for target, label, _ in record.targets if record.status == "done" else ():
            edges[record.place, prefix + coded(target), label] += 1
    for source, target, label in _decided(routed):
        edges[source, target, label] += 1
    for level, prefix in levels_in(spec):
        _add_undecided(level, prefix, nodes, edges)
    return History(
        {name: _node_run(runs) for name, runs in nodes.items()},
        edges,
        tuple(executed),
        tuple(everything),
    )


def _of_its_node(record: ExecutionRecord) -> ExecutionRecord:
    """What a handler did, as an execution of the node that it stood in for."""
    prefix = prefix_of(record.place)
    name = record.place.removeprefix(prefix)
    if not name.startswith(HANDLER_OF):
        return record
    return _placed(record, prefix + name.removeprefix(HANDLER_OF))


def _node_run(records: list[ExecutionRecord]) -> NodeRun:
    last = records[-1]
    beside = [r for r in records if _entered_by(r) == _entered_by(last)]
    latest: dict[str, int] = {}
    for record in beside:
        latest[entry_of(record)] = max(latest.get(entry_of(record), 0), record.superstep)
    together = [r for r in beside if r.superstep == latest[entry_of(r)]]
    shown = next((r for r in together if r.status != "done"), last) if last.status == "done" else last
    if shown.status == "done":
        shown = next((r for r in together if r.error), last)
    status, error = status_of(shown), shown.error or {}
    return NodeRun(
        count=len(records),
        status=status,
        seconds=sum(r.seconds for r in records),
        attempts=shown.attempt,
        error=f"{error['type']}: {error['message']}" if error and status != "pending" else None,
        caught=sum(status_of(r) == "caught" for r in records),
    )


def _entered_by(record: ExecutionRecord) -> list[str]:
    """The occurrences that an execution lies in, the same for all entries of a subworkflow that was sent to."""
    return [part.rpartition(".")[0] for part in str(record.occurrence).split("/")[:-1]]


def _decided(routed: list[ExecutionRecord]) -> Iterator[Edge]:
    """Decisions of routers outside of nodes: of START, and of nodes that are sent to."""
    for record in routed:
        prefix = prefix_of(record.place)
        for target, label, _ in record.targets:
            yield record.place, prefix + coded(target), label


def _add_undecided(
    level: WorkflowSpec, prefix: str, nodes: Mapping[str, list[ExecutionRecord]], edges: Counter[Edge]
) -> None:
    """Edges that nobody decides on are not journalled: those of START, and the ways into a join."""
    for edge in level.edges:
        if edge.kind == "static" and edge.source == START:
            target = prefix + coded(edge.target)
            late = edge.target in level.nodes and level.nodes[edge.target].defer
            first = {entry_of(r) for r in nodes.get(target, ()) if r.superstep == 1 or late}
            if first:
                edges[prefix + START, target, None] = len(first)
        if edge.kind == "join":
            for name in edge.sources:
                source = prefix + coded(name)
                handled = {e.target for e in level.edges if e.kind == "handler" and name in e.origins}
                done = sum(
                    r.status == "done" and not _went_on_elsewhere(r, handled) for r in nodes.get(source, ())
                )
                if done:
                    edges[source, prefix + coded(edge.target), None] = done


def _went_on_elsewhere(record: ExecutionRecord, handled: Collection[str]) -> bool:
    """Whether the handler of a node that failed went on from it, to where it may: then no join was reached."""
    caught = status_of(record) == "caught" and bool(record.targets)
    return caught and all(target in handled for target, _, _ in record.targets)
