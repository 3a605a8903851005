"""What goes through the engine: references to a run and to what it is told, never state.

The input is in the ledger and the state in the checkpoints. What a submission or a resume says beside (an answer, a
context, a rename) is a letter: kept among the recorded effects of the run, so that it is deleted with its thread.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dalsegno.errors import DefinitionError

if TYPE_CHECKING:
    from dalsegno.checkpoints import Ledger

SUBMITTED = "submitted"
"""The name of a run's first letter: that it is the engine's, and which engine's."""

NEVER = -1
"""How often a queued run had been resumed: less often than one that has begun."""

ENDED = frozenset({"completed", "failed", "cancelled"})

HEARTBEAT = 10.0
"""Seconds without a sign of life after which a worker counts as dead, where nothing else is said."""

LONGEST_HEARTBEAT = 86_400
"""The most that may be said: what is longer the engine cannot count, or nobody would see the end of."""


LONGEST_NAME = 1_000
"""Bytes of a name that Temporal takes, where its configuration says nothing else."""

PROMPT = 60.0
"""Seconds within which a letter that was written has been sent, or never will be."""


@dataclass(frozen=True)
class Order:
    """A run, as the engine knows it.

    `heartbeat` are the seconds without a sign of life after which its worker counts as dead. One that `waits` was not
    submitted but resumed, after the engine had done with it: it goes on when the letter has come, and the run had been
    resumed `resumes` times then.
    """

    run_id: str
    thread: str
    workflow: str
    heartbeat: float = HEARTBEAT
    waits: bool = False
    resumes: int = NEVER


@dataclass(frozen=True)
class Turn:
    """One stretch of a run, from being handed to a worker to its end or its pause.

    `began` (unix seconds, when the engine took the run) and `number` (from 1) order the turns of a thread. `resumes` is
    how often the run had been resumed before it: the record of the run says more where the turn was settled by an
    attempt that could not tell the engine. `letter` names the last letter, which is `new` where nobody has acted on it.
    """

    order: Order
    number: int
    began: float
    resumes: int = NEVER
    letter: str = SUBMITTED
    new: bool = True

    def token(self, attempt: int) -> tuple[float, int]:
        """What orders the attempts at a thread: the later one is the greater one."""
        return (self.began, self.number << 20 | attempt)


@dataclass(frozen=True)
class Outcome:
    """How a turn ended. `deadline` is when the first default stands of the questions that wait, in unix seconds."""

    status: str
    resumes: int = 0
    deadline: float | None = None


@dataclass(frozen=True)
class Place:
    """Where the engine has a run: its address, Temporal's namespace and the queue."""

    engine: str
    namespace: str
    queue: str


@dataclass(frozen=True)
class Letter:
    """What a worker is told for a turn.

    `answers` are by the ids of their `questions`, of which the values are kept to know them again. `outputs` are the
    keys of the run's output, in its first letter: for who asks for its result and has no graph.
    """

    place: Place
    heartbeat: float = HEARTBEAT
    priority: int | None = None
    answers: Mapping[str, Any] | None = None
    questions: Mapping[str, Any] = field(default_factory=dict)
    context: Any = None
    rename: Mapping[str, str] = field(default_factory=dict)
    accept_changes: bool = False
    budget: Mapping[str, Any] | None = None
    outputs: Sequence[str] | None = None


def keep(ledger: Ledger, run_id: str, thread: str, letter: Letter, *, first: bool = False) -> str:
    """Keep a letter and give its name."""
    name = SUBMITTED if first else f"resume {uuid.uuid4().hex}"
    body = {**vars(letter), "place": dict(vars(letter.place))}
    ledger.effect_put(run_id, thread, _key(run_id), name, body)
    return name


def take_questions(
    ledger: Ledger, run_id: str, thread: str, letter: Letter, resumes: int, now: float
) -> list[str]:
    """Inside a transaction: note whose questions a letter answers, in a run that was resumed so often; gives the ids of
    those that another letter answers already.

    Where that one was written more than `PROMPT` seconds ago, its writer may have died before it was sent.
    """
    taken = []
    for asked in letter.answers or {}:
        found, at = ledger.effect_get(_key(run_id), _answer(asked, resumes))
        if found and now - float(at) < PROMPT:
            taken.append(asked)
        elif not found:
            ledger.effect_put(run_id, thread, _key(run_id), _answer(asked, resumes), now)
    return taken


def give_back_questions(ledger: Ledger, run_id: str, letter: Letter, resumes: int) -> None:
    """Forget what `take_questions` noted: the letter was not sent."""
    with ledger.database.transaction() as connection:
        for asked in letter.answers or {}:
            connection.execute(
                "DELETE FROM effects WHERE key = ? AND name = ?", (_key(run_id), _answer(asked, resumes))
            )


def letter_of(ledger: Ledger, run_id: str, name: str = SUBMITTED) -> Letter | None:
    """A letter of a run; None where there is none of that name, or the run is not the engine's."""
    found, body = ledger.effect_get(_key(run_id), name)
    return Letter(**{**body, "place": Place(**body["place"])}) if found else None


def _key(run_id: str) -> str:
    return f"engine:{run_id}"


def _answer(question: str, resumes: int) -> str:
    return f"answer {resumes} {question}"


def queue_of(workflow: str, queue: str) -> str:
    """The task queue in Temporal: workers of another workflow must not be handed a run that they cannot play.

    Raises
    ------
    DefinitionError
        Temporal can have no queue of that name.
    """
    if not isinstance(queue, str) or not queue.strip() or not queue.isprintable():
        raise DefinitionError(
            f"queue={queue!r}: the name of a queue is a text with printable characters and nothing else, such as "
            "'default'."
        )
    named = f"{queue}/{workflow}"
    if len(named.encode()) > LONGEST_NAME:
        raise DefinitionError(
            f"queue={queue[:40] + '…'!r}: with the workflow's name after it, it has {len(named.encode()):,} bytes, and "
            f"the engine takes {LONGEST_NAME:,}. Choose a shorter one."
        )
    return named


def identity_of(workflow: str, thread: str) -> str:
    """The id of a run's Temporal workflow: one at a time a thread."""
    return f"{workflow}:{thread}"
