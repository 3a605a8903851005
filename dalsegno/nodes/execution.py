"""Which execution of which node is going on, and the key that is the same when it is repeated."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from dalsegno.nodes.paths import coded, shown

if TYPE_CHECKING:
    from dalsegno.nodes.policies.account import Account


class Effects(Protocol):
    """Where results of effects are kept; the run's ledger."""

    def effect_get(self, key: str, name: str) -> tuple[bool, Any]:
        """Whether a result is recorded under that key and name, and the result."""
        ...

    def effect_put(self, run_id: str, thread: str, key: str, name: str, value: Any) -> None:
        """Record a result; the first one recorded stays."""
        ...


class Breakers(Protocol):
    """Where it is kept which circuit breakers are open; the run's database."""

    def breaker_get(self, key: str) -> tuple[float | None, float] | None:
        """Since when one is open (None: closed), and when that came about, in unix seconds; None: nothing is known."""
        ...

    def breaker_put(self, key: str, opened_at: float | None, changed_at: float) -> None:
        """Keep what has become of one."""
        ...


class SharedTurns(Protocol):
    """Where the processes of one database take their turns under a rate limit."""

    def take(self, name: str, *, calls: int, per: float, now: float, most: float | None) -> float | None:
        """Take the next turn under a name; unix seconds at which it comes, None where that cannot be said now.

        One that would come more than `most` seconds from `now` is not taken.
        """
        ...


@dataclass(frozen=True, slots=True)
class Taken:
    """An edge that was taken: to `target`, for the router's answer `label`, counted as `counter`."""

    target: str
    label: str | None = None
    counter: str | None = None


class RunContext(Protocol):
    """What a run gives to the kernel of every node in it, and what it is told by them."""

    run_id: str
    thread: str
    watch: Any
    """LangChain's callback handler that tells the run's listeners of calls of models and tools; None where nobody
    listens."""
    executed: Mapping[tuple[str, str], int]
    """How often nodes were executed before this process went on in a changed graph, by their place and the numbers of
    the executions around them; empty where the graph is the same."""
    is_over: bool
    """Whether this process's turn at the run has ended; a thread that could not be stopped may go on."""
    is_left: bool
    """Whether the turn ends as soon as its threads do: somebody has pressed Ctrl-C."""

    @property
    def effects(self) -> Effects:
        """Where results of effects are kept."""
        ...

    @property
    def breakers(self) -> Breakers:
        """Where it is kept which circuit breakers are open."""
        ...

    @property
    def turns(self) -> SharedTurns | None:
        """Where turns under rate limits are taken that other machines share; None where none does."""
        ...

    @property
    def account(self) -> Account:
        """What the run may spend, and has spent."""
        ...

    def takes_thread(self, execution: Execution) -> None:
        """A sync node begins, in this thread to its end. What the thread finished before it in the same superstep is
        committed, if it is not yet: LangGraph hands that over behind all the nodes that wait for a thread."""
        ...

    def started(self, execution: Execution, superstep: int) -> None:
        """An attempt of a node begins."""
        ...

    def given(self, output: Any) -> None:
        """A node has given this; its routers may repeat it in an error, and so may the reducers that take it."""
        ...

    def finished(self, execution: Execution, superstep: int, taken: Sequence[Taken]) -> None:
        """An attempt has its result, which is about to be committed."""
        ...

    def failed(self, execution: Execution, superstep: int, error: BaseException) -> None:
        """An attempt raised: an error, or one of LangGraph's own signals (an interrupt)."""
        ...

    def masked(self, execution: Execution, text: str) -> str:
        """A text of this execution without the secrets of the run's state."""
        ...

    def acted(self, execution: Execution, policy: str, what: str, detail: Mapping[str, Any]) -> None:
        """A policy around a node did something: tried again, fell back, waited, refused."""
        ...

    def is_cancelled(self) -> bool:
        """Whether somebody has asked to cancel the run: for nodes that wait long."""
        ...

    def routed(self, node: str, superstep: int, taken: Sequence[Taken], tasks: Collection[str] = ()) -> None:
        """A router outside of a node (of START, of a sent-to node) has decided."""
        ...

    def written(self, config: Mapping[str, Any]) -> None:
        """All routers outside of a node have decided: all that the task of this config writes is there."""
        ...


@dataclass(slots=True, eq=False)
class Execution:
    """One execution of one node in a run.

    `path` are the node's names from the outermost workflow in, each outer one with its occurrence (``("sub#2",
    "write")``); `occurrence` counts the node's executions in the run from 1 (for a sent-to node it names the decision
    that sent); `index` is the place of its `Send` (None where it was not sent to); `attempt` counts from 1. `task_id`
    is LangGraph's name for it, under which its writes are committed, `checkpoint_id` the checkpoint it runs on,
    `config` what LangGraph gave to it, None while its task may have written a part of what it writes. `superstep` is
    the run's, `before` the supersteps that lie before it, counted as the certificate counts; `calls` are the model
    calls of this attempt, `most_calls` how many are declared.
    `abandoned` says that nobody waits for its answer any more, `refused` why its next model call was not made. A call
    of a tool inside of it is a part of it, with `part_of` set: its key and the names of its effects are its own, all
    the rest is that of the `whole`. `argument` is what the node was called with. `around` is the execution of the
    subworkflow that it is in, `left_to` the one around it that commits what it wrote, where it left its graph by a
    `Command` to the parent, or where its graph keeps nothing. `caught` is the failure that its answer was made of,
    `handled` says that an error handler takes over where it fails. `walked` are the supersteps of the subworkflow
    that it ran, where that was left by a `Command` to the parent.
    """

    run_id: str | None
    path: tuple[str, ...]
    occurrence: int | str
    index: int | None = None
    attempt: int = 1
    task_id: str | None = None
    checkpoint_id: str | None = None
    config: Mapping[str, Any] | None = field(default=None, repr=False)
    context: RunContext | None = None
    used_names: set[str] | None = None
    superstep: int = 0
    before: int = 0
    calls: int = 0
    most_calls: int | None = None
    abandoned: bool = False
    refused: BaseException | None = field(default=None, repr=False)
    part_of: Execution | None = field(default=None, repr=False)
    around: Execution | None = field(default=None, repr=False)
    argument: Any = field(default=None, repr=False)
    left_to: Execution | None = field(default=None, repr=False)
    caught: BaseException | str | None = field(default=None, repr=False)
    handled: bool = False
    walked: int = 0

    def again(self) -> Execution:
        """The next attempt of the same execution."""
        return replace(
            self, attempt=self.attempt + 1, used_names=None, calls=0, abandoned=False, refused=None, walked=0
        )

    def part(self, name: str, key: str) -> Execution:
        """A call inside of it, by the name of what is called and what tells this call from others of that name."""
        path = within(self, name)
        return replace(self, path=path, occurrence=key, index=None, used_names=None, part_of=self)

    @property
    def whole(self) -> Execution:
        """The execution of the node, also in a call inside of it."""
        return self if self.part_of is None else self.part_of.whole

    @property
    def is_given_up(self) -> bool:
        """Whether nobody waits for it any more, or for what it is a part of or in."""
        return self.abandoned or any(
            outer is not None and outer.is_given_up for outer in (self.part_of, self.around)
        )

    @property
    def node(self) -> str:
        """The node's path in words: ``"sub/write"``."""
        return self.path[0] if len(self.path) == 1 else shown(self.place)

    @property
    def place(self) -> str:
        """The node's path, where a ``/`` in a name is told from one between names (`nodes/paths.py`)."""
        own = coded(self.path[-1])
        if len(self.path) == 1:  # as most are, and every attempt is asked for it several times
            return own
        return "/".join((*(part.partition("#")[0] for part in self.path[:-1]), own))

    @property
    def keeper(self) -> Execution:
        """The execution whose task commits what it wrote: its own, but where that was left to one around it."""
        return self if self.left_to is None else self.left_to.keeper

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names under which its writes may be committed: its own, and that of its superstep."""
        keeper = self.keeper
        return tuple(name for name in (keeper.task_id, keeper.checkpoint_id) if name)

    @property
    def number(self) -> int | str:
        """The occurrence, unique in the run: inside a subworkflow with that of each outer node."""
        return f"{self.around_number}/{self.occurrence}" if len(self.path) > 1 else self.occurrence

    @property
    def around_number(self) -> str:
        """The numbers of the executions around it, as they begin its own; empty where there is none."""
        return "/".join(part.partition("#")[2] for part in self.path[:-1])

    @property
    def identity(self) -> tuple[Any, ...]:
        """The same for every attempt of this execution, and for no other of the run."""
        return self.path, self.occurrence, self.index

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt and every resume of this execution, and for no other.

        A hash of the run's id, the node's path, its occurrence and the index of its `Send`: 32
        hexadecimal digits. Hand it to receivers that can tell a repeated request by a key.
        """
        parts = (self.run_id or "", *self.path, str(self.occurrence), str(self.index))
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def within(outer: Execution, name: str) -> tuple[str, ...]:
    """The path of a node, or of a call, inside of an execution; see `Execution.path`."""
    return (*outer.path[:-1], f"{coded(outer.path[-1])}#{outer.occurrence}.{outer.index}", name)


CURRENT: ContextVar[Execution | None] = ContextVar("dalsegno_execution", default=None)
"""Set by the kernel around each call of a node."""


def current_execution() -> Execution | None:
    """The execution this code runs in, or None outside of a workflow's node.

    >>> current_execution() is None
    True
    """
    return CURRENT.get()


def is_for_nobody() -> bool:
    """Whether this code goes on in a thread that cannot be stopped: its turn at the run is over, or will be without it,
    or the subworkflow that its node is in was given up."""
    execution = CURRENT.get()
    if execution is None:
        return False
    context = execution.context
    is_over = context is not None and (context.is_over or context.is_left)
    return is_over or (execution.around is not None and execution.around.is_given_up)


def masked_here(text: str) -> str:
    """A text without the secrets of the run's state; as it is outside of a run.

    For what a node says of an error where others read it: in its state, or in a message to a model.
    """
    execution = CURRENT.get()
    if execution is None or execution.context is None:
        return text
    return execution.context.masked(execution.whole, text)


def note_caught(error: BaseException) -> None:
    """Note that what this node answers was made of a failure, which ends here."""
    execution = CURRENT.get()
    if execution is not None:
        execution.caught = error
