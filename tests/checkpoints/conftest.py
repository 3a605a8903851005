"""Real processes and real files for the tests of the checkpoints."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dalsegno.checkpoints import AnyDatabase, Checkpointer, Ledger, open_checkpointer, open_database

BOTH = {
    "test_checkpoint_model", "test_clocks", "test_delta_channels", "test_fencing", "test_ledger", "test_leases",
    "test_maintenance", "test_resume", "test_same_as_in_memory", "test_search", "test_steps", "test_strict_types",
    "test_transactions",
}  # fmt: skip
"""What is tried on a file and on a server, where it takes `url`, `saver` or `ledger`."""

FILE_ONLY = {
    "test_a_forked_child_opens_a_connection_of_its_own",
    "test_a_process_whose_checkpoints_were_pruned_by_another_goes_on",
    "test_a_superstep_stores_what_it_wrote_and_not_the_state", "test_damage_is_named",
    "test_a_crafted_row_runs_no_code", "test_a_row_of_another_notation_is_refused",
    "test_a_type_that_is_gone_is_an_error_and_not_its_raw_data",
    "test_pruning_keeps_what_a_delta_channel_is_rebuilt_from", "test_room_is_given_back",
    "test_the_segments_of_pruned_checkpoints_are_gone", "test_a_run_that_a_later_one_is_rebuilt_from_is_not_deleted",
}  # fmt: skip
"""What is SQLite's own: its file, its segments, its connection."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    is_ours = {"url", "saver", "ledger"} & set(metafunc.fixturenames)
    if (
        is_ours
        and Path(str(metafunc.module.__file__)).stem in BOTH
        and metafunc.function.__name__ not in FILE_ONLY
    ):
        metafunc.parametrize("backend", ["sqlite", "postgresql"], indirect=True)


class Child:
    """A forked process that runs one function and reports what it sends through a pipe."""

    def __init__(self, body: Callable[[Callable[[str], None]], None]) -> None:
        self._out, pipe = os.pipe()
        self._told = b""
        self.pid = os.fork()
        if self.pid:
            os.close(pipe)
            return
        os.close(self._out)
        try:
            body(lambda text: os.write(pipe, text.encode() + b"\n") and None)
        except BaseException:
            os.write(pipe, traceback.format_exc().encode())
            os._exit(1)
        os._exit(0)

    def line(self) -> str:
        """The next line the child sends; waits for it, empty when the child is gone."""
        while b"\n" not in self._told:
            part = os.read(self._out, 65536)
            if not part:
                break
            self._told += part
        line, _, self._told = self._told.partition(b"\n")
        return line.decode()

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """The exit code, negative for the signal that ended it; what it sent is shown on stderr."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        while line := self.line():
            print(line, file=sys.stderr)
        os.close(self._out)
        return code


@pytest.fixture
def child() -> type[Child]:
    return Child


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "runs.db"


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """Which database it is."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture
def url(backend: str, path: Path, request: pytest.FixtureRequest) -> str:
    """A new database."""
    return str(request.getfixturevalue("postgres_url")) if backend == "postgresql" else f"sqlite:///{path}"


@pytest.fixture
def saver(url: str) -> Iterator[Checkpointer]:
    with open_checkpointer(url) as saver:
        yield saver


@pytest.fixture
def ledger_on() -> Iterator[Callable[[AnyDatabase], Ledger]]:
    """Makes ledgers of open databases; a run that is left unfinished gives no sign of life after the test, which would
    open its database again."""
    made: list[Ledger] = []

    def make(database: AnyDatabase) -> Ledger:
        made.append(Ledger(database))
        return made[-1]

    yield make
    for ledger in made:
        ledger._heartbeat.stop()


@pytest.fixture
def ledger_of() -> Iterator[Callable[..., Ledger]]:
    """Makes ledgers of a database, each with connections and a heart of its own."""
    made: list[Ledger] = []

    def make(url: str, **options: Any) -> Ledger:
        made.append(Ledger(open_database(url), **options))
        return made[-1]

    yield make
    for ledger in made:
        ledger._heartbeat.stop()
        ledger.database.close()
