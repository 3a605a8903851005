"""What is done with a traced process: its writes are counted, written down, and one of them is its last."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from dataclasses import replace
from pathlib import Path

from dalsegno.errors import CrashTestFailed
from dalsegno.testing.crash_kit.disk import Deed, path_on
from dalsegno.testing.crash_kit.forking import BEGUN, DONE
from dalsegno.testing.crash_kit.kills import Kill
from dalsegno.testing.crash_kit.syscalls import LAYOUTS
from dalsegno.testing.crash_kit.tracing import GO_ON, Call, Verdict

_KILLED = Verdict(kill=True)
_LOOK = Verdict(back=True)


class Watch:
    """Watches one process, from `BEGUN` to `DONE`.

    A write is any call that changes a file or a folder, or has it written to the disk: what is opened new is
    one, `fsync` too. What the kit itself writes is none, and nor is what goes to pipes and sockets.

    Parameters
    ----------
    kill
        Which write is the last one, or fails.
    notes, output
        Files of the kit.
    record
        Whether to write down in `deeds` what is done to files beside the notes, for a power cut.
    """

    def __init__(self, kill: Kill | None, notes: Path, output: Path, *, record: bool = False) -> None:
        self.deeds: list[Deed] = []
        self.halves: list[bool] = []
        """Of each write, whether it can be torn in two."""
        self.struck = False
        """Whether it came to the kill, or the error."""
        self.seconds = 0.0
        self._kill = kill if kill is not None and kill.write is not None else None
        self._notes, self._output = str(notes), str(output)
        self._disk = str(notes.parent)
        self._record = record
        self._signs = ""
        self._begun: float | None = None
        self._over = False
        self._under_way: dict[int, tuple[Deed | None, bool]] = {}

    @property
    def writes(self) -> int:
        """How many there were."""
        return len(self.halves)

    def signs_come_by(self, pipe: int) -> None:
        """Which pipe the process tells `BEGUN` and `DONE` by."""
        self._signs = f"pipe:[{os.fstat(pipe).st_ino}]"

    def entering(self, call: Call) -> Verdict:
        path = call.path
        if path == self._signs:
            self._told(call.data(call.length))
            return GO_ON
        if path == self._notes and call.kind == "data" and self._record and not self._over:
            self.deeds.append(Deed("note", data=call.data(call.length)))
        if self._begun is None or self._over or path in (self._notes, self._output):
            return GO_ON
        if not path.startswith("/") or (path.startswith(("/dev/", "/proc/")) and not _in_memory(path)):
            return GO_ON
        if call.kind == "open" and _opens_as_it_is(call):
            return GO_ON
        self.halves.append(call.length > 1)
        return self._counted(call, self.writes)

    def left(self, call: Call) -> Verdict:
        deed, last = self._under_way.pop(call.thread)
        if deed is not None and call.result is not None and call.result >= 0:
            self.deeds.append(replace(deed, data=deed.data[: call.result]))
        return _KILLED if last else GO_ON

    def _told(self, sign: bytes) -> None:
        if BEGUN in sign:
            self._begun = time.perf_counter()
        if DONE in sign and self._begun is not None:
            self._over = True
            self.seconds = time.perf_counter() - self._begun

    def _counted(self, call: Call, number: int) -> Verdict:
        if self._kill is not None and (error := self._error(self._kill, call, number)) is not None:
            self.struck = True
            return Verdict(error=error)
        deed = _deed(call, number) if self._record and path_on(self._disk, call.path) else None
        if not self._is_last(number):
            if deed is None:
                return GO_ON
            self._under_way[call.thread] = (deed, False)
            return _LOOK
        assert self._kill is not None
        self.struck = True
        self._under_way[call.thread] = (deed, True)
        half = call.length // 2
        if self._kill.side == "halfway" and half:
            return Verdict(back=True, length=half)
        return _LOOK if self._kill.side == "after" else _KILLED

    def _is_last(self, number: int) -> bool:
        return self._kill is not None and self._kill.error is None and self._kill.write == number

    def _error(self, kill: Kill, call: Call, number: int) -> int | None:
        """A full disk stays full, and takes what needs no more room; another error comes once."""
        if kill.error is None or kill.write is None or number < kill.write:
            return None
        if kill.error == "ENOSPC":
            return errno.ENOSPC if number == kill.write or _grows(call) else None
        return errno.EIO if number == kill.write else None


def _deed(call: Call, number: int) -> Deed:
    """What the call is about to do to a file."""
    match call.kind:
        case "data":
            if call.name in ("write", "pwrite64"):
                return Deed("write", call.path, number, call.offset(), call.data(call.length))
        case "sync":
            return Deed("sync", call.path, number)
        case "length":
            if call.name != "fallocate":
                return Deed("length", call.path, number, size=call.arguments[1])
        case "open":
            return Deed("length" if os.path.lexists(call.path) else "make", call.path, number)
        case "name":
            if call.name.startswith("mkdir"):
                return Deed("folder", call.path, number)
            if not call.name.startswith("rename"):
                return Deed("remove", call.path, number)
    raise CrashTestFailed(
        f"A power cut cannot be simulated: the run calls {call.name} on {call.path}, and what that leaves on a "
        "disk is not known here. Kill it at its commits or writes.",
        report=None,
    )


def _opens_as_it_is(call: Call) -> bool:
    flags = call.arguments[LAYOUTS[call.name].flags or 0]
    return not flags & os.O_TRUNC and os.path.lexists(call.path)


def _in_memory(path: str) -> bool:
    return path.startswith("/dev/shm/")


def _grows(call: Call) -> bool:
    """Whether it needs more room on the disk."""
    if call.kind == "open" or call.name.startswith("mkdir"):
        return not os.path.lexists(call.path)
    if call.kind != "data" or not call.length:
        return False
    with contextlib.suppress(OSError):
        return call.offset() + call.length > os.stat(call.path).st_size
    return True
