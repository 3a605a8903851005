"""A run, as far as a picture needs it: counts, times and marks, nothing that runs.

Node keys are paths (``"sub/write"``), edge keys ``(source, target, label)`` with paths and the
router's answer (None where an edge has none). START and END are ``"__start__"`` and ``"__end__"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

NodeStatus = Literal["done", "failed", "running", "interrupted", "pending"]


@dataclass(frozen=True, slots=True)
class NodeRun:
    """What one node did in a run.

    `count` is how many times it was executed, `seconds` what that took in all (None: not known),
    `attempts` how many tries the last execution took, `error` the message of its failure.
    """

    count: int = 0
    status: NodeStatus = "done"
    seconds: float | None = None
    attempts: int = 1
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RunView:
    """What one run did, to be laid over the picture of its workflow.

    `pending` are the nodes from which it resumes, `resumed_from` the mark from which it went on
    last (a superstep, or the name of a node), `supersteps` how many it used of those `proved`.
    """

    run_id: str
    thread: str
    workflow: str
    status: str
    nodes: Mapping[str, NodeRun] = field(default_factory=dict)
    edges: Mapping[tuple[str, str, str | None], int] = field(default_factory=dict)
    pending: tuple[str, ...] = ()
    resumed_from: str | int | None = None
    supersteps: int | None = None
    proved: int | None = None
    error: str | None = None
