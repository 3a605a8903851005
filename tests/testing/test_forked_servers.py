"""The process that a crash test forks from: its threads, and the garbage of its caller, which it leaves alone."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from dalsegno.testing.crash_kit.forking import Server, in_fork


class Foreign:
    """Something that only the process which made it may end; a cycle, so that the collector ends it."""

    def __init__(self, noted: Path) -> None:
        self.itself = self
        self.noted = noted

    def __del__(self) -> None:
        with self.noted.open("a") as file:
            file.write(f"{os.getpid()}\n")


def test_the_callers_garbage_is_not_collected_in_the_server_or_its_children(tmp_path: Path) -> None:
    noted, own = tmp_path / "ended", tmp_path / "own"

    def work(server: Server) -> int:
        Foreign(own)
        server.settle()
        child = server.child(lambda tell: gc.collect() and None, str(tmp_path / "output"))
        child.wait(None, 60)
        return os.getpid()

    frozen = gc.get_freeze_count()  # some are from the beginning, since Python 3.12
    gc.disable()
    try:
        Foreign(noted)
        pid: Any = in_fork(work)
    finally:
        gc.enable()
    assert not noted.exists()
    assert own.read_text() == f"{pid}\n"
    assert gc.get_freeze_count() == frozen
    gc.collect()
    assert noted.read_text() == f"{os.getpid()}\n"


def test_a_server_that_is_warm_has_one_thread_and_did_not_wait_for_others_to_give_up(tmp_path: Path) -> None:
    code = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from dalsegno.testing.crash_kit.warming import warm\n"
        "warm('durable', Path(sys.argv[1]))\n"
        "print(*(thread.name for thread in threading.enumerate()))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert said.split() == ["MainThread"]
