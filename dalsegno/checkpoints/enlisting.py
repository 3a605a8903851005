"""Statements that wait for a commit which says that they are true: a task's, or that of its superstep."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["done", "failed", "interrupted", "given up"]
"""What a task's writes say of it: only those of one that is ``done`` are a result."""

Instead = Callable[[Outcome], Sequence[Any] | None]
"""Gives the parameters for a task that is not done; None where nothing is to be executed then."""

_WORSE: Mapping[Outcome, int] = {"done": 0, "interrupted": 1, "given up": 2, "failed": 3}


def worse(one: Outcome, other: Outcome | None) -> Outcome:
    """Of two outcomes of one task the one that counts."""
    return one if other is None or _WORSE[one] > _WORSE[other] else other


@dataclass(frozen=True, slots=True)
class Enlisted:
    """One statement.

    `tasks` are the names of the commits it goes with, none of them for the next one. `instead` is asked where the
    first of them is not done. `owner` is whose it is, `slot` what only one of an owner's can be true of, `about` what
    it is said of.
    """

    sql: str
    parameters: Sequence[Any]
    tasks: tuple[str, ...] = ()
    instead: Instead | None = None
    owner: Hashable = None
    slot: Hashable = None
    about: Any = None

    def given(self, outcomes: Mapping[str, Outcome]) -> Sequence[Any] | None:
        """The parameters to execute it with, None where it is not true."""
        if self.instead is None or not self.tasks:
            return self.parameters
        outcome = outcomes.get(self.tasks[0], "done")
        return self.parameters if outcome == "done" else self.instead(outcome)


Due = list[tuple[int, Enlisted]]
"""Statements that go with a commit, in their order."""


@dataclass(slots=True)
class Queue:
    """What waits, in the order in which it was enlisted. Used from any thread."""

    _numbered: dict[int, Enlisted] = field(default_factory=dict)
    _by_name: dict[str | None, set[int]] = field(default_factory=dict)
    _by_slot: dict[Hashable, int] = field(default_factory=dict)
    _next: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        return len(self._numbered)

    def add(self, one: Enlisted) -> None:
        """Have a statement wait. One in the same slot was not true: its task was begun again before it was kept."""
        with self._lock:
            before = self._in_slot(one)
            if before is not None:
                self._give_up(before, self._numbered[before].tasks)
            self._next += 1
            self._put(self._next, one)

    def due(self, names: Iterable[str]) -> Due:
        """What goes with a commit of those names, and what goes with any."""
        if not self._numbered:
            return []
        with self._lock:
            return self._due(names)

    @property
    def is_due(self) -> bool:
        """Whether anything goes with any commit."""
        return None in self._by_name

    def remove(self, numbers: Collection[int]) -> None:
        """Forget what was executed."""
        with self._lock:
            for number in numbers:
                self._remove(number)

    def give_up(self, owner: Hashable) -> None:
        """No task of an owner's is kept any more: what waits for one goes with the next commit, as of one given up."""
        with self._lock:
            self._give_up_all(owner)

    def forget(self, owner: Hashable) -> None:
        """Forget everything that is an owner's."""
        with self._lock:
            self._forget_all(owner)

    def about(self, owner: Hashable) -> list[Any]:
        """What an owner's statements are about that still wait for a task of theirs, in their order."""
        if not self._numbered:
            return []
        with self._lock:
            waiting = self._numbered.values()
            return [
                one.about for one in waiting if one.owner == owner and one.tasks and one.about is not None
            ]

    def _due(self, names: Iterable[str]) -> Due:
        found = set(self._by_name.get(None, ()))
        for name in names:
            found |= self._by_name.get(name, frozenset())
        return [(number, self._numbered[number]) for number in sorted(found)]

    def _give_up_all(self, owner: Hashable) -> None:
        for number, one in list(self._numbered.items()):
            if one.owner == owner and one.tasks:
                self._give_up(number, ())

    def _forget_all(self, owner: Hashable) -> None:
        for number, one in list(self._numbered.items()):
            if one.owner == owner:
                self._remove(number)

    def _give_up(self, number: int, tasks: tuple[str, ...]) -> None:
        one = self._numbered[number]
        parameters = one.parameters if one.instead is None else one.instead("given up")
        self._remove(number)
        if parameters is not None:
            self._put(number, Enlisted(one.sql, parameters, tasks, None, one.owner))

    def _in_slot(self, one: Enlisted) -> int | None:
        """The number of the statement that waits in the slot of that one."""
        return None if one.slot is None else self._by_slot.get((one.owner, one.slot))

    def _put(self, number: int, one: Enlisted) -> None:
        self._numbered[number] = one
        if one.slot is not None:
            self._by_slot[one.owner, one.slot] = number
        for name in one.tasks or (None,):
            self._by_name.setdefault(name, set()).add(number)

    def _remove(self, number: int) -> None:
        one = self._numbered.pop(number, None)
        if one is None:
            return
        for name in one.tasks or (None,):
            waiting = self._by_name.get(name)
            if waiting is not None:
                waiting.discard(number)
                if not waiting:
                    del self._by_name[name]
        if self._in_slot(one) == number:
            del self._by_slot[one.owner, one.slot]


class Enlisting:
    """What every database has of statements that wait in its queue."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def enlist(
        self,
        sql: str,
        parameters: Sequence[Any] = (),
        *,
        tasks: Collection[str] = (),
        instead: Instead | None = None,
        owner: Hashable = None,
        slot: Hashable = None,
        about: Any = None,
    ) -> None:
        """Have a statement executed with the next commit, or with the first that is one of those tasks'.

        A task is named by its id, and all tasks of a superstep by the id of the checkpoint they run on: the task's
        own comes first. `instead` is for what is true of a task that is done: of one that is not it gives the
        parameters to execute the statement with. `owner` is who may give it up, and `slot` names what can be true
        once only. It is kept if its commit fails. `about` is what `waiting_about` tells of it.
        """
        self._queue.add(Enlisted(sql, parameters, tuple(tasks), instead, owner, slot, about))

    def waiting_about(self, owner: Hashable) -> list[Any]:
        """What those statements of an owner's are about that still wait for their tasks."""
        return self._queue.about(owner)

    def give_up(self, owner: Hashable) -> None:
        """Have what an owner enlisted for tasks executed with the next commit, as of tasks that are not done: they
        will write nothing more."""
        self._queue.give_up(owner)

    def forget(self, owner: Hashable) -> None:
        """Forget what an owner enlisted: it is not the owner's to say any more."""
        self._queue.forget(owner)


def outcomes_of(task: str | Collection[str] | Mapping[str, Outcome] | None) -> Mapping[str, Outcome]:
    """What a transaction's writes say of tasks: those that are only named are done."""
    if isinstance(task, Mapping):
        return task
    named: Collection[str] = (task,) if isinstance(task, str) else task or ()
    return dict.fromkeys(named, "done")
