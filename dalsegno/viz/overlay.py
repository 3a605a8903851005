"""A run, as far as a picture needs it: counts, times and marks, nothing that runs.

Node keys are places (``"sub/write"``, see `nodes/paths.py`), edge keys ``(source, target, label)`` with places and the
router's answer (None where an edge has none). START and END are ``"__start__"`` and ``"__end__"``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

NodeStatus = Literal["done", "caught", "failed", "running", "interrupted", "pending"]
"""How a node stands; ``caught``: it failed, and a handler or its pattern went on from that."""


@dataclass(frozen=True, slots=True)
class NodeRun:
    """What one node did in a run.

    `count` is how many times it was executed, `seconds` what that took in all (None: not known),
    `attempts` how many tries the last execution took, `error` the message of its failure, `calls` and
    `tokens` what it asked of models (None: not known), `caught` how many executions failed and were caught.
    """

    count: int = 0
    status: NodeStatus = "done"
    seconds: float | None = None
    attempts: int = 1
    error: str | None = None
    calls: int | None = None
    tokens: int | None = None
    caught: int = 0


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution of a node, as a timeline shows it.

    `superstep` counts within its own workflow (a subworkflow's start at 1 with each entry), `entry`
    says which entry that was, the same for all executions within it (empty for the outermost workflow);
    `child` is the `entry` of what is executed within it. `index` is the number of a send. `targets` are
    the ways taken, each a place and the router's answer. `again` says that it had been started before
    and was not committed, or failed, or waited.
    """

    node: str
    superstep: int
    status: NodeStatus = "done"
    entry: str = ""
    child: str = ""
    index: int | None = None
    attempts: int = 1
    seconds: float | None = None
    error: str | None = None
    targets: tuple[tuple[str, str | None], ...] = ()
    again: bool = False


@dataclass(frozen=True, slots=True)
class Used:
    """One bar of *proved against used*: `used` of what, at most `proved` (None: no bound)."""

    what: str
    used: float
    proved: float | None = None


@dataclass(frozen=True, slots=True)
class StateAt:
    """The state after a superstep of the outermost workflow (0: the input): each key's value as lines."""

    superstep: int
    values: Mapping[str, Sequence[str]]
    checkpoint: str = ""


@dataclass(frozen=True, slots=True)
class RunView:
    """What one run did, to be laid over the picture of its workflow.

    `pending` are the nodes from which it resumes, `marks` the supersteps after which it was resumed, `resumed_from` the
    last of them (or the name of a node), `supersteps` how many it used of those `proved`.
    `executions` make its timeline, `states` its replay, `used` its bars; `note` is what a reader has to
    know about the picture, such as that the graph has changed since.
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
    executions: tuple[Execution, ...] = ()
    states: tuple[StateAt, ...] = ()
    used: tuple[Used, ...] = ()
    resumes: int = 0
    note: str | None = None
    marks: tuple[int, ...] = ()

    @property
    def resumed_after(self) -> tuple[int, ...]:
        """The supersteps after which it was resumed, as far as they are known."""
        return self.marks or ((self.resumed_from,) if isinstance(self.resumed_from, int) else ())
