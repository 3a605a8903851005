"""The words of a picture: badges of what was declared, lines of what a run did, the caption."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dalsegno.nodes.paths import shown
from dalsegno.viz.diagram import MARKS, Cluster, Diagram, DiagramEdge, DiagramNode
from dalsegno.viz.overlay import NodeRun, RunView
from dalsegno.viz.palette import RUN_STATUSES, SIGNS, WORDS
from dalsegno.viz.text import duration, limit, plain, short

if TYPE_CHECKING:
    from dalsegno.graphs.model import NodeSpec

RESUMABLE = ("failed", "interrupted", "stopped")
"""The statuses of a run that is over for now and has a mark to go on from."""

_POLICIES = {"rate_limit": "rate limit"}


def badges(node: NodeSpec, handled: set[str]) -> tuple[str, ...]:
    """What was declared on a node, in few words. Policies are named, their values are not shown."""
    words: list[str] = []
    if node.interrupts:
        words.append("asks a human" + (f" ×{node.interrupts}" if node.interrupts > 1 else ""))
    if node.effect:
        words.append("effect" + (", idempotent" if node.idempotent else ""))
    if node.compensate:
        words.append(f"undo: {short(node.compensate, 24)}")
    if node.error_handler and node.name not in handled:
        words.append(f"on error: {short(node.error_handler, 24)}")
    if node.attempts > 1:
        words.append(f"≤ {node.attempts} tries")
    if node.timeout is not None:
        words.append(f"timeout {limit(node.timeout)}")
    if node.calls:
        words.append(f"{node.calls} call{'s' if node.calls > 1 else ''}")
    shown = {"retry"} if node.attempts > 1 else set()
    given = [name for name, policy in node.policies.items() if policy is not None and name not in shown]
    words += [_POLICIES.get(name, plain(name)) for name in given]
    if node.defer:
        words.append("deferred")
    return tuple(words)


def progress_line(done: NodeRun, status: str, *, in_vain: bool = False) -> str:
    """What one node did, in one line: sign, times executed, tries, duration, model calls.

    `in_vain` says that its run was cancelled: what waited for a human waits no more.
    """
    some = 0 < done.caught < done.count
    word = "not answered" if in_vain and status == "interrupted" else WORDS[status]
    parts = ["" if status == "done" or (some and status == "caught") else word]
    parts.append(f"×{done.count}" if done.count > 1 else "")
    parts.append(f"{done.caught} failed, caught" if some else "")
    if done.attempts > 1:
        parts.append(f"{done.attempts} tries")
    if done.seconds is not None:
        parts.append(duration(done.seconds))
    if done.calls:
        parts.append(_many(done.calls, "call"))
    if done.tokens:
        parts.append(f"{done.tokens:,} tokens")
    said = " · ".join(p for p in parts if p) or "done"
    return f"{SIGNS[status]} {said}"


def _supersteps(count: object) -> str:
    return f"{count} superstep{'' if count == 1 else 's'}"


def in_supersteps(marks: Sequence[int]) -> str:
    """The latest few marks.

    >>> in_supersteps([6]), in_supersteps([3, 6]), in_supersteps([1, 2, 3, 5, 8])
    ('superstep 6', 'supersteps 3 and 6', 'supersteps …, 2, 3, 5 and 8')
    """
    *earlier, last = map(str, marks[-4:])
    if not earlier:
        return f"superstep {last}"
    return f"supersteps {'…, ' if len(marks) > 4 else ''}{', '.join(earlier)} and {last}"


def caption(run: RunView | None, report: Any) -> tuple[str, ...]:
    """What stands under the name: the run, its status, proved against used, where it resumes."""
    certificate = getattr(report, "certificate", None)
    proved = getattr(certificate, "supersteps", None)
    if run is None:
        if report is not None and not getattr(report, "ok", True):
            return ("✕ the check found errors",)
        return (f"every run ends within {_supersteps(proved)}",) if proved is not None else ()
    proved = run.proved if run.proved is not None else proved
    sign = SIGNS[RUN_STATUSES.get(run.status, "pending")]
    first = [f"run {short(run.run_id, 36)}", f"thread {short(run.thread, 36)}", f"{sign} {plain(run.status)}"]
    counts = [(word, n) for word, n in (("proved", proved), ("used", run.supersteps)) if n is not None]
    used = [f"{word} {n}" for word, n in counts[:-1]] + [
        f"{word} {_supersteps(n)}" for word, n in counts[-1:]
    ]
    marks = []
    if run.resumed_from is not None:
        known = run.resumed_after
        marks.append(f"resumed from {in_supersteps(known) if known else short(str(run.resumed_from))}")
    if run.pending and run.status in RESUMABLE:
        marks.append("resumes at " + short(", ".join(map(shown, run.pending)), 60))
    lines = [" · ".join(first), " · ".join(used), " · ".join(marks)]
    if run.error:
        lines.append(short(run.error, 90))
    if run.note:
        lines.append(short(run.note, 120))
    return tuple(line for line in lines if line)


def description(
    name: str,
    nodes: Sequence[DiagramNode],
    edges: Sequence[DiagramEdge],
    clusters: Sequence[Cluster],
    run: RunView | None = None,
) -> str:
    """The picture in sentences, for those who do not see it."""
    counted = sum(n.kind not in MARKS for n in nodes)
    said = [f"Workflow {name}: {_many(counted, 'node')}, {_many(len(edges), 'edge')}."]
    said += [f"{_many(len(clusters), 'subworkflow')}."] if clusters else []
    said += [f"{e.details}." for e in edges if "loop" in e.classes]
    if run is not None:
        said.append(f"Run {plain(run.run_id)}: {plain(run.status)}.")
        said += [f"{box.details}." for box in _notable((*nodes, *clusters))]
    return " ".join(said)


def run_description(
    diagram: Diagram, boxes: Sequence[DiagramNode | Cluster], edges: Sequence[DiagramEdge], run: RunView
) -> str:
    """The picture with a run over it, in sentences."""
    nodes = [b for b in boxes if isinstance(b, DiagramNode)]
    clusters = [b for b in boxes if isinstance(b, Cluster)]
    return description(diagram.name, nodes, edges, clusters, run)


def _notable(boxes: Iterable[DiagramNode | Cluster]) -> list[DiagramNode | Cluster]:
    return [b for b in boxes if b.mark or b.status in ("failed", "caught", "interrupted", "running")]


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
