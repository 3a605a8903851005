"""What a run tells while it goes on; a listener is a function of one event."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from dalsegno.errors import DefinitionError
from dalsegno.nodes.execution import Taken
from dalsegno.runtime.difference import Change


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened in a run. `at` is unix seconds."""

    run_id: str
    thread: str
    at: float

    @classmethod
    def made(cls, fields: dict[str, Any]) -> Self:
        """An event of all its fields; `fields` become its own. A frozen dataclass of a dozen fields takes six times as
        long to make in its own way, and two are made a node."""
        event = object.__new__(cls)
        object.__setattr__(event, "__dict__", fields)
        return event


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """A run begins, or goes on from its mark (`resumed`) in a graph that has `changes` since."""

    workflow: str
    resumed: bool = False
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunFinished(Event):
    """A run ends or pauses with that status."""

    workflow: str
    status: str
    seconds: float
    error: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class NodeStarted(Event):
    """An attempt of a node begins.

    `node` is a path (``"sub/write"``), `kind` what it is (``agent``, ``tool``, …). `path` tells executions apart, also
    those of one node in several entries of a subworkflow: ``("sub#2.None", "write")``. `place` is the `node` with a
    ``/`` in a name told from one between names (`nodes/paths.py`).
    """

    node: str
    place: str = ""
    path: tuple[str, ...] = ()
    kind: str = "function"
    superstep: int
    occurrence: int | str
    index: int | None
    attempt: int

    def __post_init__(self) -> None:
        if not self.place:
            object.__setattr__(self, "place", self.node)


@dataclass(frozen=True, kw_only=True)
class NodeFinished(NodeStarted):
    """An attempt has its result; `taken` are the edges it takes, `caught` the failure that its result was made of."""

    seconds: float
    taken: Sequence[Taken] = ()
    caught: str | None = None


@dataclass(frozen=True, kw_only=True)
class NodeInterrupted(NodeStarted):
    """A node waits for a human."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class NodeFailed(NodeStarted):
    """An attempt raised `error`; `message` is what it says, with secrets masked."""

    seconds: float
    error: BaseException = field(repr=False)
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class PolicyActed(Event):
    """A policy around a node did something.

    `policy` and `what`: ``cache`` hit, not read, not kept · ``budget`` exceeded · ``rate_limit`` wait, queue, refused
    · ``fallback`` answered · ``breaker`` opened, refused, probe, closed, not read, not kept · ``retry`` again, given
    up, refused · ``timeout`` cancelled, abandoned · ``watch`` empty, repeated · ``registry`` (of remote agents) down,
    back, stale. `detail` has the figures.
    """

    node: str
    place: str = ""
    path: tuple[str, ...] = ()
    superstep: int
    occurrence: int | str
    index: int | None
    attempt: int
    policy: str
    what: str
    detail: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.place:
            object.__setattr__(self, "place", self.node)


@dataclass(frozen=True, kw_only=True)
class CallStarted(Event):
    """A node calls a model or a tool (`kind`) of that `name`; `call_id` is the same when it ends.

    `content` gives, when it is called, what is handed over, with secrets masked.
    """

    call_id: str
    node: str
    kind: Literal["model", "tool"]
    name: str
    provider: str | None = None
    content: Callable[[], Any] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class CallFinished(CallStarted):
    """A call has its answer, or `error` (its type) where it failed; `content` gives the answer.

    `error` is ``"Abandoned"`` where nobody waits for the answer any more. `interrupted` says that the tool waits for a
    human, and is called again with the answer.

    Tokens are those that the answer tells, 0 where it tells none.
    """

    seconds: float
    input_tokens: int = 0
    output_tokens: int = 0
    error: str | None = None
    interrupted: bool = False


Listener = Callable[[Event], object]


def listeners_of(given: Any) -> tuple[Listener, ...]:
    """One listener, or several of them.

    Raises
    ------
    DefinitionError
        One cannot be called, or is a coroutine function, which nobody would await.
    """
    several = isinstance(given, Iterable) and not callable(given)
    listeners = tuple(given) if several else (given,)
    for listener in listeners:
        if not callable(listener):
            raise DefinitionError(
                f"Runner: `on_event={listener!r}`: a function of one event, or several, is needed."
            )
        if inspect.iscoroutinefunction(listener) or inspect.iscoroutinefunction(listener.__call__):
            raise DefinitionError(
                f"Runner: `on_event={listener!r}` is a coroutine function, and listeners are called where something "
                "happens, in any thread: nobody would await it. Hand the event to the loop: "
                "loop.call_soon_threadsafe(queue.put_nowait, event)."
            )
    return listeners
