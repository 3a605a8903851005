"""What the runtime asks of a database: the seam behind which SQLite and PostgreSQL are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from dalsegno.checkpoints.maintenance import Statistics, ThreadStatistics


class Rows(Protocol):
    """What a statement gave, or how many rows it has changed."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...


class Statements(Protocol):
    """Executes SQL that both databases understand, with ``?`` (or ``?1``) where a parameter stands."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Rows:
        """Execute a statement."""
        ...


class Upkeep(Protocol):
    """What looking after a database takes; see `maintenance`, which says what each of these does.

    `delete_checkpoints` and `copy_history` work inside the caller's transaction.
    """

    together: int
    """How many threads one transaction changes, at most, where many are pruned or deleted."""

    def delete_checkpoints(self, thread: str) -> int: ...

    def copy_history(self, thread: str, checkpoint_id: str, into: str) -> None: ...

    def prune(self, thread_ids: Iterable[str] | None, *, keep: int, before: float | None) -> int: ...

    def statistics(self) -> Statistics: ...

    def thread_statistics(self) -> list[ThreadStatistics]: ...

    def count_checkpoints(self, thread: str) -> int: ...

    def latest_checkpoint(self, thread: str) -> str | None: ...

    def check(self) -> list[str]: ...

    def vacuum(self) -> int: ...


class AnyDatabase(Protocol):
    """Where checkpoints, ledger, effects and leases are kept: a SQLite file, or a schema of a PostgreSQL database.

    Used from any thread. Nothing is opened before the first use, and after `close` the next use opens again.
    """

    path: str
    """How people are told which database it is; it holds no password."""
    is_shared: bool
    """Whether processes on other machines reach it too."""
    commits: int
    on_commit: list[Callable[[int], None]]
    """Called after each commit, with the number of commits this object has made."""

    @property
    def url(self) -> str:
        """What `open_database` takes in another process; it may hold a password."""
        ...

    def transaction(
        self, task: str | Collection[str] | Mapping[str, Any] | None = None
    ) -> AbstractContextManager[Statements]:
        """All or nothing: what is executed inside, and what was enlisted, in one commit.

        `task` says whose writes these are, and what they say of it: what was enlisted for those tasks, or for all
        tasks of a checkpoint, goes with them. Used inside another one of the same thread of execution it joins it.
        """
        ...

    def read(self) -> AbstractContextManager[Statements]:
        """A consistent view: nobody's commit comes between two statements inside."""
        ...

    def glance(self) -> AbstractContextManager[Statements | None]:
        """As `read`, of what is committed, where that takes no longer than the statements inside; None where it would
        wait: for another thread, or for a server."""
        ...

    def lock(self, thread: str) -> None:
        """Inside a transaction, before anything that is asked about a thread: until its end nobody else's that has
        locked the same thread goes on, and no run writes to it."""
        ...

    def enlist(
        self,
        sql: str,
        parameters: Sequence[Any] = (),
        *,
        tasks: Collection[str] = (),
        instead: Callable[[Any], Sequence[Any] | None] | None = None,
        owner: Hashable = None,
        slot: Hashable = None,
        about: Any = None,
    ) -> None:
        """Have a statement executed with the next commit, or with the first that is one of those tasks'; see
        `enlisting.Enlisted`."""
        ...

    def waiting_about(self, owner: Hashable) -> list[Any]:
        """What those statements of an owner's are about that still wait for their tasks."""
        ...

    def give_up(self, owner: Hashable) -> None:
        """Have what an owner enlisted for tasks executed with the next commit, as of tasks that are not done."""
        ...

    def forget(self, owner: Hashable) -> None:
        """Forget what an owner enlisted."""
        ...

    def flush(self) -> None:
        """Commit what waits for company, and what is enlisted for no task in particular, if anything is."""
        ...

    def upkeep(self) -> Upkeep:
        """What looking after it takes."""
        ...

    def close(self) -> None:
        """Commit what is enlisted and close it."""
        ...
