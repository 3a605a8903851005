"""What the ledger tells about runs and node executions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["queued", "running", "completed", "failed", "interrupted", "stopped", "cancelled"]
ExecutionStatus = Literal["done", "failed", "interrupted"]

STATUSES: tuple[Status, ...] = (
    "queued", "running", "completed", "failed", "interrupted", "stopped", "cancelled",
)  # fmt: skip


@dataclass(frozen=True)
class RunRecord:
    """One run, as the ledger knows it.

    Times are unix seconds: `created_at` the first start, `started_at` the last start or resume,
    `finished_at` when it ended or paused, None while it runs or where its process died.
    `target` is where the workflow came from (``path.py:name``), None for one started from Python.
    `status` is ``stopped`` for a run whose process died, ``queued`` for one that has not begun. `input` is
    what the run was given; `error` has the keys type, message, node, attempt, traceback. `shape` is the
    workflow as JSON, `code` the hash of each node's code, `process` who runs it or ran it last (pid, host). `resumed`
    are the times of the latest resumes, oldest first.
    """

    run_id: str
    thread: str
    workflow: str
    version: str
    fingerprint: str
    target: str | None
    status: Status
    created_at: float
    started_at: float
    updated_at: float
    finished_at: float | None
    input: Any
    error: Mapping[str, Any] | None = None
    interrupts: Sequence[Any] = ()
    supersteps: int = 0
    usage: Mapping[str, Any] = field(default_factory=dict)
    resumes: int = 0
    certificate: Mapping[str, Any] | None = None
    shape: Mapping[str, Any] | None = None
    code: Mapping[str, str | None] | None = None
    process: Mapping[str, Any] | None = None
    resumed: Sequence[float] = ()

    @property
    def is_untold(self) -> bool:
        """Whether its last turn may not have told what the run used: it goes on, its process died (and it may have been
        cancelled since), or its database failed, and no more than that could be recorded."""
        lost = self.status == "failed" and self.error is not None and self.error.get("traceback") is None
        return lost or self.status in ("running", "stopped", "cancelled")


@dataclass(frozen=True)
class RunOutcome:
    """What became of a run: what there is to count, of the fields of its `RunRecord`."""

    run_id: str
    thread: str
    status: Status
    workflow: str
    started_at: float
    finished_at: float | None
    usage: Mapping[str, Any]
    resumes: int


@dataclass(frozen=True)
class ExecutionRecord:
    """One execution of a node.

    `node` is a path (``sub/write``), `place` the same with a ``/`` in a name told from one between names
    (`nodes/paths.py`); `occurrence` its number in the run, in a subworkflow after those of what is around it
    (``1.None/2``), 0 for what a router outside of any node decided; `index` the number of the send, None where the
    node was not sent to; `seconds` how long it took. `targets` are the ways taken from it,
    each ``(target, label, counter)`` with None where there is no label or counter. `error` has the keys type and
    message; where the execution is ``done`` it is the failure that was caught.
    """

    run_id: str
    superstep: int
    node: str
    occurrence: int | str = 0
    index: int | None = None
    attempt: int = 1
    status: ExecutionStatus = "done"
    started_at: float = 0.0
    seconds: float = 0.0
    targets: Sequence[tuple[str, str | None, str | None]] = ()
    error: Any = None
    place: str = ""

    def __post_init__(self) -> None:
        if not self.place:
            object.__setattr__(self, "place", self.node)


def seconds_of(executions: Iterable[ExecutionRecord]) -> float:
    """How long some execution was going on, in seconds; what went on side by side counts once."""
    seconds, until = 0.0, float("-inf")
    for began, took in sorted((e.started_at, e.seconds) for e in executions):
        seconds += max(began + took - max(began, until), 0.0)
        until = max(until, began + took)
    return seconds
