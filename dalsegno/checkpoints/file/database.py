"""One SQLite file: its connection, its transactions, and its errors."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args
from urllib.parse import quote

from dalsegno.checkpoints import failures
from dalsegno.checkpoints.enlisting import Due, Enlisting, Outcome, Queue, outcomes_of, worse
from dalsegno.checkpoints.file import surroundings
from dalsegno.checkpoints.file.connecting import connected
from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.checkpoints.file.fair_lock import FairLock
from dalsegno.checkpoints.file.group_commit import Arrived, GroupCommit, Job, write
from dalsegno.checkpoints.file.log_room import LogRoom
from dalsegno.checkpoints.file.waiting_line import WaitingLine
from dalsegno.checkpoints.opening import file_of
from dalsegno.errors import CheckpointError, DatabaseUnavailable
from dalsegno.nodes.living import Living

if TYPE_CHECKING:
    from dalsegno.checkpoints.interface import Upkeep

Profile = Literal["durable", "fast"]


class Database(Enlisting):
    """One SQLite file, shared by everybody in this process who reads or writes it.

    Nothing is opened before the first use. One connection, guarded by a lock: use it from any thread.
    After a fork parent and child have connections of their own. After `close()` the next use opens again.

    Parameters
    ----------
    path
        The file; its folder is made when it is opened.
    profile
        ``"durable"``: a commit survives power loss. ``"fast"``: it survives a kill, and power loss may
        take the last commits.
    timeout
        Seconds to wait for another process that writes, before `DatabaseUnavailable`.
    linger
        Seconds that the writes of a task may wait for company in one commit; 0 commits each at once, alone.

    Raises
    ------
    DatabaseInvalid
        At first use or later: the file is no database, not ours, damaged, or from a newer version.
    DatabaseUnavailable
        The file is locked, full, read-only or cannot be reached.
    """

    is_shared = False

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        profile: Profile = "durable",
        timeout: float = 30.0,
        linger: float = 0.0,
    ) -> None:
        super().__init__(Queue())
        if profile not in get_args(Profile):
            raise CheckpointError(f'There is no profile {profile!r}; it is "durable" or "fast".')
        self.path = file_of(path)
        self.file = self.path if self.path == ":memory:" else os.path.abspath(self.path)
        """The path from wherever: the working directory may change between two openings."""
        self._translated = failures.Translated(self.path)
        self.profile: Profile = profile
        self.timeout = timeout
        self.linger = linger
        self.before_commit: list[Callable[[int, Collection[str]], None]] = []
        """Called right before each commit, with its number and the tasks whose writes are in it."""
        self.on_commit: list[Callable[[int], None]] = []
        """Called after each commit, with the number of commits this object has made."""
        self.commits = 0
        self._room: LogRoom | None = None
        self._line = WaitingLine(None)
        self._lock = FairLock()
        self._connection: sqlite3.Connection | None = None
        self._opened_identity: surroundings.Identity | None = None
        self._opened_log: surroundings.Identity | None = None
        self._depth = 0
        self._doomed: BaseException | None = None
        self._writer: int | None = None  # the thread whose transaction is open
        self._group = GroupCommit(self._lock, self._write_all, linger)
        self._data_version: int | None = None
        self._warned = False
        self._held_for_fork = False
        _databases.add(self)

    def __repr__(self) -> str:
        return f"Database({self.path!r}, profile={self.profile!r})"

    @contextlib.contextmanager
    def transaction(
        self, task: str | Collection[str] | Mapping[str, Outcome] | None = None
    ) -> Iterator[sqlite3.Connection]:
        """All or nothing: what is executed inside, and what was enlisted, in one commit.

        `task` says whose writes these are, and what they say of it: what was enlisted for those tasks, or for all
        tasks of a checkpoint, goes with them. Used inside another one it joins it.
        """
        outcomes = outcomes_of(task)
        with self._lock.turn():
            if self._group and not self._depth:
                self._group.drain()
            with self._entered(outcomes) as connection:
                yield connection

    @contextlib.contextmanager
    def _entered(self, outcomes: Mapping[str, Outcome]) -> Iterator[sqlite3.Connection]:
        """The transaction itself; the lock is held. What `outcomes` says counts at the end of the outermost one."""
        if self._depth:
            self._depth += 1
            try:
                yield self._opened()
            except BaseException as error:
                self._doomed = error
                raise
            finally:
                self._depth -= 1
            return
        with self._translated:
            connection = self._opened()
            due: Due | None = None
            interrupted: BaseException | None = None
            try:
                self._line.begin(connection, self.timeout)
                self._depth, self._doomed, self._writer = 1, None, threading.get_ident()
                if sqlite3.sqlite_version_info < surroundings.SAFE_WITH_OTHERS:
                    self._warn_of_other_writers(connection)
                if self._room is not None:
                    self._room.look()
                yield connection
                if self._doomed is not None:
                    raise self._doomed
                due = self._queue.due(outcomes)
                for _, one in due:
                    if (parameters := one.given(outcomes)) is not None:
                        connection.execute(one.sql, parameters)
                for told in self.before_commit:
                    told(self.commits + 1, outcomes.keys())
                connection.execute("COMMIT")
            except BaseException as error:
                # It is closed where the file was found to be another one in the midst of it.
                if self._connection is connection and connection.in_transaction:
                    connection.execute("ROLLBACK")
                    raise
                if due is None or isinstance(error, Exception):
                    raise
                interrupted = error  # Ctrl-C that came during the commit is heard behind it
            finally:
                self._line.leave()
                self._depth, self._doomed, self._writer = 0, None, None
        if due:
            self._queue.remove([number for number, _ in due])
        self.commits += 1
        if interrupted is not None:
            raise interrupted
        for listener in self.on_commit:
            listener(self.commits)

    @contextlib.contextmanager
    def read(self, thread: str | None = None) -> Iterator[sqlite3.Connection]:
        """A consistent view: nobody's commit comes between two statements inside.

        What waits for company is written first; where only a `thread` is read, only if something of its is waiting.
        """
        with self._lock.turn():
            if not self._depth and self._group.has(thread):
                self._group.drain()
            if self._depth:
                yield self._opened()
                return
            with self._translated:
                connection = self._opened()
                try:  # Ctrl-C may come behind any of these
                    connection.execute("BEGIN")
                    yield connection
                finally:
                    if connection.in_transaction:
                        connection.execute("COMMIT")

    @contextlib.contextmanager
    def glance(self) -> Iterator[sqlite3.Connection | None]:
        """As `read`, of what is committed; None where another thread has the connection."""
        if self._depth or not self._lock.acquire(timeout=0):
            yield None
            return
        try:
            with self._translated:
                yield self._opened()
        finally:
            self._lock.release()

    def commit(self, job: Job, *, soon: bool = False) -> None:
        """Have a job written, in one transaction with what other threads bring meanwhile.

        Returns when it is on disk; with `soon` it may wait for company first, at most `linger` seconds, and
        what goes wrong then is raised by the next job of the same place.
        """
        if self._writer == threading.get_ident():
            # A part of this thread's own transaction. What others wait for is none of it: it may be rolled back.
            self._group.write_within(job)
        elif soon and self.linger > 0:
            self._group.commit_soon(job)
        else:
            self._group.commit(job)

    def _write_all(self, arrived: Arrived) -> None:
        outcomes: dict[str, Outcome] = {}
        jobs: Sequence[Job] = ()
        commits = self.commits
        try:
            with self._entered(outcomes) as connection:
                jobs = arrived()
                for job in jobs:
                    if job.task is not None:
                        outcomes[job.task] = worse(job.outcome, outcomes.get(job.task))
                write(jobs, connection)
        finally:
            for job in jobs:
                job.on_disk = self.commits > commits

    @property
    def url(self) -> str:
        """What `open_database` takes in another process and another folder."""
        if self.path == ":memory:":
            return self.path
        return f"sqlite:///{quote(self.file, errors='surrogateescape')}"

    def lock(self, thread: str) -> None:
        """Nothing to do: whoever writes has the whole file."""

    def upkeep(self) -> Upkeep:
        """What looking after it takes."""
        from dalsegno.checkpoints.file.upkeep import SqliteUpkeep

        return SqliteUpkeep(self)

    def outside(self, sql: str) -> None:
        """Execute a statement that SQLite takes in no transaction, as ``VACUUM``."""
        with self._lock.turn(), self._translated:
            self._opened().execute(sql)

    def flush(self) -> None:
        """Commit what waits for company, and what is enlisted for no task in particular, if anything is."""
        with self._lock.turn():
            if self._group and not self._depth:
                self._group.drain()
        self._group.raise_parked()
        if self._queue.is_due:
            with self.transaction():
                pass

    def close(self) -> None:
        """Commit what is enlisted and close the file."""
        with self._lock.turn():
            try:
                self.flush()
            finally:
                self._opened_identity = None
                self._let_go()

    def _opened(self) -> sqlite3.Connection:
        now = surroundings.identity_of(self.file)
        is_another = self._connection is not None and now != self._opened_identity
        if is_another or (now is None and self._opened_identity is not None):
            # SQLite would go on writing to the file that nobody can find any more. Nor is a new one made in its place,
            # where it is to be put back: whoever noticed first may have looked only, and told nobody.
            with contextlib.suppress(sqlite3.Error):
                self._let_go()
            self._refuse_another_log(now)
            raise DatabaseUnavailable(
                f"`{self.path}` was moved, deleted or replaced while it was in use. Put it back, or start again "
                "with the file that is there now.",
                path=self.path,
            )
        if self._connection is None:
            self._refuse_another_log(now)
            self._connection = self._open()
            is_durable_file = self.profile == "durable" and self.path != ":memory:"
            log = surroundings.log_of(self.file)
            self._room = LogRoom(log) if is_durable_file else None
            self._line = WaitingLine(log)
            self._data_version = None
            self._opened_identity = surroundings.identity_of(self.file)
            self._opened_log = surroundings.identity_of(log)
        return self._connection

    def _refuse_another_log(self, now: surroundings.Identity | None) -> None:
        is_another = None not in (now, self._opened_identity) and now != self._opened_identity
        if is_another and self._opened_log is not None:
            surroundings.refuse_log_of_another(self.file, self.path, self._opened_log)

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        self._line.close()
        if connection is not None:
            connection.close()

    def _warn_of_other_writers(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if self._data_version not in (None, version) and not self._warned:
            self._warned = True
            surroundings.warn_of_other_writers(self.path)
        self._data_version = version

    def _open(self) -> sqlite3.Connection:
        if self.path != ":memory:":
            try:
                surroundings.make_folder(Path(self.file).parent)
            except OSError as error:
                raise DatabaseUnavailable(
                    f"The folder of `{self.path}` cannot be made ({error}). Name another file with `--db`.",
                    path=self.path,
                ) from error
            surroundings.refuse_network(self.file, self.path)
            identity = surroundings.identity_of(self.file)
            ours = any(one._opened_identity == identity for one in _databases)
            if identity is not None and not ours:
                surroundings.warn_of_another_library(identity, self.path)
        return connected(self.file, self.path, self.profile, self.timeout)

    # A connection may not be carried over a fork, not even to be closed, and SQLite remembers its locks
    # in memory that the child inherits (https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_).
    # So the parent closes its connection before it forks, and both open again at their next use.

    def _before_fork(self) -> None:
        self._held_for_fork = self._lock.acquire(timeout=5)
        idle = self._held_for_fork and not self._depth
        if idle and self._group:
            self._group.drain()
        if idle and self.path != ":memory:":
            with contextlib.suppress(sqlite3.Error):
                self._let_go()

    def _after_fork_in_parent(self) -> None:
        if self._held_for_fork:
            self._held_for_fork = False
            self._lock.release()

    def _after_fork_in_child(self) -> None:
        self._lock = FairLock()
        self._held_for_fork = False
        self._depth, self._doomed, self._writer = 0, None, None
        self._queue = Queue()  # what was in it is the parent's to commit
        self._group = GroupCommit(self._lock, self._write_all, self.linger)
        if self._connection is not None:  # forked inside a transaction, or in memory only
            _make_immortal(self._connection)
            self._connection = None
            self._line.close()


_databases: Living[Database] = Living()


def _make_immortal(connection: sqlite3.Connection) -> None:
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def _each(step: Callable[[Database], None]) -> Callable[[], None]:
    def hook() -> None:
        for database in sorted(_databases, key=id):
            step(database)

    return hook


@atexit.register
def _settle_all() -> None:
    """What lingers at the end of the process is written: the thread that would do it is gone."""
    for database in _databases:
        with contextlib.suppress(Exception):
            database.flush()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_each(Database._before_fork),
        after_in_parent=_each(Database._after_fork_in_parent),
        after_in_child=_each(Database._after_fork_in_child),
    )
