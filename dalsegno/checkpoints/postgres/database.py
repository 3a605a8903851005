"""A schema of a PostgreSQL database: its transactions, and what waits for them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal

import psycopg

from dalsegno.checkpoints.enlisting import Due, Enlisting, Outcome, outcomes_of
from dalsegno.checkpoints.failures import no_text
from dalsegno.checkpoints.postgres import failures
from dalsegno.checkpoints.postgres.address import Address
from dalsegno.checkpoints.postgres.connections import Connections
from dalsegno.checkpoints.postgres.due import DueQueue
from dalsegno.checkpoints.postgres.session import Connection, Session, piped, roll_back
from dalsegno.checkpoints.postgres.under_way import UnderWay
from dalsegno.errors import CheckpointError
from dalsegno.nodes.forking import in_forked_child
from dalsegno.nodes.living import Living

if TYPE_CHECKING:
    from dalsegno.checkpoints.postgres.upkeep import PostgresUpkeep

_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_VIEW = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/' || $1, 0))"
_TRIES = 6  # of a transaction that the server undoes, or whose connection it ends
_PAUSE = 0.02  # seconds, doubled each time


class PostgresDatabase(Enlisting):
    """Checkpoints, ledger, effects and leases in one schema of a PostgreSQL database.

    Used from any thread: each transaction has a connection of the pool for as long as it lasts. Nothing is opened
    before the first use, which also makes or migrates the tables. After a fork parent and child have connections of
    their own; after `close()` the next use opens again.

    Parameters
    ----------
    url
        ``postgresql://user:password@host:5432/database``, with libpq's parameters; `schema` beside them names
        the schema (default: ``dalsegno``).
    profile
        ``"durable"``: a commit survives power loss. ``"fast"``: power loss of the server may take the last ones.
    timeout
        Seconds to wait for a connection, for the server to be there, and for a lock, before `DatabaseUnavailable`.
    connections
        How many this process has at most.

    Raises
    ------
    DatabaseInvalid
        At first use: the schema comes from a newer version, or the server is too old.
    DatabaseUnavailable
        The server is away, lets nobody in, or takes too long.
    """

    is_shared = True
    _queue: DueQueue

    def __init__(
        self,
        url: str,
        *,
        profile: Literal["durable", "fast"] = "durable",
        timeout: float = 30.0,
        connections: int = 10,
    ) -> None:
        super().__init__(DueQueue())
        if profile not in ("durable", "fast"):
            raise CheckpointError(f'There is no profile {profile!r}; it is "durable" or "fast".')
        if connections < 1:
            raise CheckpointError(f"connections={connections}: at least one is needed.")
        self.address = Address.of(url)
        self.path = self.address.shown
        self.url = url
        self.profile = profile
        self.on_commit: list[Callable[[int], None]] = []
        """Called after each commit, with the number of commits this object has made."""
        self.commits = 0
        self._counting = threading.Lock()
        self._connections = Connections(self.address, most=connections, timeout=timeout, profile=profile)
        self._here = threading.local()
        self.under_way = UnderWay()
        _databases.add(self)

    def __repr__(self) -> str:
        return f"PostgresDatabase({self.path!r})"

    # --- transactions ---

    @property
    def session(self) -> Session | None:
        """The transaction that this thread is in."""
        return getattr(self._here, "session", None)

    @contextlib.contextmanager
    def transaction(
        self, task: str | Collection[str] | Mapping[str, Outcome] | None = None
    ) -> Iterator[Session]:
        """All or nothing: what is executed inside, and what was enlisted, in one commit; see `AnyDatabase`."""
        session = self.session
        if session is None:
            with (
                self.translated(),
                self._connections.one() as connection,
                self._session(connection, task) as made,
            ):
                yield made
            return
        if session.is_view:
            raise CheckpointError(
                "A transaction cannot begin inside of `read()`: what is read there cannot change."
            )
        session.depth += 1
        try:
            yield session
        except BaseException as error:
            session.doomed = error
            raise
        finally:
            session.depth -= 1

    def write(
        self,
        statements: Callable[[Session], object],
        task: Mapping[str, Outcome] | None = None,
        *,
        is_done: Callable[[Session], bool] | None = None,
        owner: Hashable = None,
    ) -> None:
        """Have a function write in a transaction, and again where the server has undone it or has gone away.

        A connection that ends during a commit leaves open whether it was made: `is_done` finds out. `owner` is whose
        the tasks are.
        """
        if self.session is not None:
            with self.transaction() as session:
                statements(session)
            return
        # What was enlisted stays with this transaction until it is known to be made, or not.
        due: Due = []
        try:
            with self.translated():
                self._tried(statements, task, is_done, due, owner)
        except BaseException:  # also where a further try gets no connection
            self._queue.put_back(due)
            raise

    def _tried(
        self,
        statements: Callable[[Session], object],
        task: Mapping[str, Outcome] | None,
        is_done: Callable[[Session], bool] | None,
        due: Due,
        owner: Hashable,
    ) -> None:
        for attempt in range(1, _TRIES + 1):
            with self._connections.one() as connection:
                try:
                    with self._session(connection, task, due, owner) as session:
                        if attempt == 1 or is_done is None or not is_done(session):
                            statements(session)
                        else:
                            self._queue.committed(due)
                            due.clear()
                    return
                except psycopg.Error as error:
                    again = isinstance(error, failures.AGAIN)
                    again |= is_done is not None and failures.has_ended(error)
                    if attempt == _TRIES or not again:
                        raise
            time.sleep(_PAUSE * 2**attempt)

    @contextlib.contextmanager
    def _session(
        self,
        connection: Connection,
        task: str | Collection[str] | Mapping[str, Outcome] | None,
        due: Due | None = None,
        owner: Hashable = None,
    ) -> Iterator[Session]:
        """A transaction; `due` gets what was enlisted for it, and is the caller's to put back where it fails."""
        outcomes = outcomes_of(task)
        mine: Due = [] if due is None else due
        try:
            with piped(connection, is_view=False) as session:
                session.send(_BEGIN)
                self._here.session = session
                try:
                    yield session
                    if session.doomed is not None:
                        raise session.doomed
                    mine += self._queue.take(outcomes, owner)
                    for _, one in mine:
                        if (parameters := one.given(outcomes)) is not None:
                            session.execute(one.sql, parameters)
                finally:
                    self._here.session = None
                said = session.send("COMMIT")
            if said.statusmessage != "COMMIT":  # of a transaction in which something has failed
                connection.close()  # see `roll_back`
                raise CheckpointError(f"`{self.path}`: nothing was committed, for a statement had failed.")
        except BaseException as error:
            if due is None:
                self._queue.put_back(mine)
            roll_back(connection, error)
            raise
        self._queue.committed(mine)
        mine.clear()  # whatever a listener raises: it is made
        with self._counting:
            self.commits += 1
            commits = self.commits
        for listener in self.on_commit:
            listener(commits)

    @contextlib.contextmanager
    def glance(self) -> Iterator[None]:
        """Nothing: a server is always waited for."""
        yield None

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """A consistent view: nobody's commit comes between two statements inside."""
        if (session := self.session) is not None:
            yield session
            return
        with self.translated(), self._connections.one() as connection:
            try:
                with piped(connection, is_view=True) as session:
                    session.send(_VIEW)
                    self._here.session = session
                    try:
                        yield session
                    finally:
                        self._here.session = None
                    session.send("COMMIT")
            except BaseException as error:
                roll_back(connection, error)
                raise

    def lock(self, thread: str) -> None:
        """Inside a transaction: until its end nobody else's that has locked the same thread goes on, and no run
        writes to it."""
        assert self.session is not None, "outside of a transaction a lock would end at once"
        self.session.send(_LOCK, (thread,))

    # --- what waits ---

    def flush(self) -> None:
        """Commit what is enlisted for no task in particular, if anything is."""
        if self._queue.is_due:
            self.write(lambda _: None)

    # --- the rest ---

    def upkeep(self) -> PostgresUpkeep:
        """What looking after it takes."""
        from dalsegno.checkpoints.postgres.upkeep import PostgresUpkeep

        return PostgresUpkeep(self)

    def close(self) -> None:
        """Commit what is enlisted and close the connections."""
        try:
            self.flush()
        finally:
            self._connections.close()

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """What goes wrong with the server is told as one of our errors."""
        try:
            yield
        except UnicodeEncodeError as error:
            raise no_text(error, self.path) from error
        except psycopg.Error as error:
            if error.sqlstate == failures.FENCED:
                raise
            raise failures.meaning(error, self.path) from error

    def _after_fork_in_child(self) -> None:
        self._here = threading.local()
        self._counting = threading.Lock()
        self._queue = DueQueue()  # what was in it is the parent's to commit
        self.under_way = UnderWay()


_databases: Living[PostgresDatabase] = Living()


@in_forked_child
def _forked() -> None:
    for database in _databases:
        database._after_fork_in_child()
