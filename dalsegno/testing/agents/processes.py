"""Processes that are started together, and never outlive who started them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dalsegno.testing.agents.guarding import told
from dalsegno.testing.agents.listening import Listener, Output

SLICE = 0.02
"""Seconds between two looks."""
_SHELL = ("/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "sh")
"""Waits for a line before it becomes the program: until then its guard is told of it."""


class Process:
    """One program, in a process group of its own. `gone` is told its group once it has ended."""

    def __init__(self, child: subprocess.Popen[bytes], output: Output, gone: Callable[[int], None]) -> None:
        self._child = child
        self._gone: Callable[[int], None] | None = gone
        self.output = output

    @property
    def pid(self) -> int:
        """Of the program, and of its process group."""
        return self._child.pid

    def ended(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        code, gone = self._child.poll(), self._gone
        if code is not None and gone is not None:
            self._gone = None
            told(self.pid, signal.SIGKILL)  # what it left behind; later the number may be somebody else's
            gone(self.pid)
        return code

    def signal(self, number: int) -> None:
        """Send a signal to it and to what it has started, while it runs."""
        if self.ended() is None:
            told(self.pid, number)


class Processes:
    """Programs that end with this object, and where it is killed with its whole process, with that.

    A guard, another process, waits for the end of a pipe, which comes however this process ends.
    """

    def __init__(self) -> None:
        self._listener = Listener()
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("guarding.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C on the terminal is for us
        )

    def start(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        env: Mapping[str, str],
        on_line: Callable[[str], None],
    ) -> Process:
        """Start a program."""
        reading, writing = os.pipe()
        output = Output(on_line)
        try:
            child = subprocess.Popen(
                [*_SHELL, *command],
                stdin=subprocess.PIPE,
                stdout=writing,
                stderr=writing,
                cwd=folder,
                env=dict(env),
                start_new_session=True,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._listener.listen(reading, output)
        self._tell(f"+{child.pid}")
        assert child.stdin is not None
        with child.stdin as go, contextlib.suppress(BrokenPipeError):
            go.write(b"go\n")
        return Process(child, output, lambda group: self._tell(f"-{group}"))

    def stop(self, running: Sequence[Process], grace: Callable[[], float]) -> None:
        """Ask programs to end, and end those that are still there after `grace()` seconds."""
        began = time.monotonic()
        for process in running:
            process.signal(signal.SIGTERM)
        while any(process.ended() is None for process in running) and time.monotonic() - began < grace():
            time.sleep(SLICE)
        for process in running:
            process.signal(signal.SIGKILL)
            process._child.wait()
            process.ended()

    def close(self) -> None:
        """Let the guard go, and stop listening."""
        assert self._guard.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._guard.stdin.close()
        self._guard.wait()
        self._listener.close()

    def _tell(self, line: str) -> None:
        assert self._guard.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # somebody ended the guard: we still end what we started
            self._guard.stdin.write(f"{line}\n".encode())
            self._guard.stdin.flush()
