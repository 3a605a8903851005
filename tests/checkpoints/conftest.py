"""Real processes and real files for the tests of the checkpoints."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dalsegno.checkpoints import SqliteCheckpointer


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
def saver(path: Path) -> Iterator[SqliteCheckpointer]:
    with SqliteCheckpointer(path) as saver:
        yield saver
