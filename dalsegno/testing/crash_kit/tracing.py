"""Watching a process at its system calls, by `ptrace`: Linux, no privileges, nothing to compile.

The process halts right before each call that changes a file. What watches it lets it go on, looks at what
became of the call, has less written, has the call fail, or kills the process.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import platform
import signal
import struct
import sys
from dataclasses import dataclass
from typing import Protocol

from dalsegno.testing.crash_kit.syscalls import AT_FDCWD, LAYOUTS, Kind, Machine, halt_at_writes, this_machine

# sys/ptrace.h
_POKEUSER, _CONTINUE, _TO_EXIT = 6, 7, 24
_SEIZE, _LISTEN, _GET_CALL = 0x4206, 0x4208, 0x420E
_GET_REGISTERS, _SET_REGISTERS = 0x4204, 0x4205
_FORKED, _VFORKED, _CLONED, _EXECUTED = 1, 2, 3, 4
_SECCOMP, _STOPPED = 7, 128
# System calls stand out, threads and children come along, all die with the tracer.
_OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x80 | 0x100000
_TRAP = 5  # SIGTRAP, which Windows does not know
_CALL_ENDED = _TRAP | 0x80
_WALL = 0x40000000

# Places of registers in x86_64's `struct user`, and register sets of aarch64.
_RAX, _RDX, _ORIG_RAX = 80, 96, 120
_GENERAL, _SYSTEM_CALL = 1, 0x404


@dataclass(frozen=True)
class Verdict:
    """What becomes of a call: it goes on, and with `back` is looked at again when it is over; `kill`: it does not
    happen, and the process ends; `length`: only so many bytes are written; `error`: it fails with this errno."""

    back: bool = False
    kill: bool = False
    length: int | None = None
    error: int | None = None


GO_ON = Verdict()


class Call:
    """A system call that a thread is about to make, or has made: `result` is what it gave, negative an errno."""

    def __init__(self, thread: int, name: str, arguments: tuple[int, ...]) -> None:
        self.thread = thread
        self.name = name
        self.arguments = arguments
        self.result: int | None = None
        layout = LAYOUTS[name]
        self.kind: Kind = layout.kind
        if layout.fd is not None:
            self.paths: tuple[str, ...] = (self._opened(layout.fd),)
        else:
            self.paths = tuple(self._named(folder, name) for folder, name in layout.names)

    @property
    def path(self) -> str:
        """The file, or what stands for it (``pipe:[123]``, ``… (deleted)``); of a renamed one the old name."""
        return self.paths[0]

    @property
    def length(self) -> int:
        """How many bytes a plain write is given."""
        return self.arguments[2] if self.name in ("write", "pwrite64") else 0

    def data(self, length: int) -> bytes:
        """The first bytes that a plain write is given."""
        return self._read(self.arguments[1], length)

    def offset(self) -> int:
        """Where in the file a plain write goes; before it happens."""
        if self.name == "pwrite64":
            return self.arguments[3]
        with open(f"/proc/{self.thread}/fdinfo/{self.arguments[0]}") as file:
            fields = dict(line.split(None, 1) for line in file)
        if int(fields["flags:"], 8) & os.O_APPEND:
            return os.stat(f"/proc/{self.thread}/fd/{self.arguments[0]}").st_size
        return int(fields["pos:"])

    def _opened(self, place: int) -> str:
        with contextlib.suppress(OSError):
            return os.readlink(f"/proc/{self.thread}/fd/{self.arguments[place] & 0xFFFFFFFF}")
        return ""  # the call will fail: there is no such descriptor

    def _named(self, folder: int | None, place: int) -> str:
        path = os.fsdecode(self._read(self.arguments[place], 4096).partition(b"\0")[0])
        if os.path.isabs(path):
            return os.path.normpath(path)
        here = AT_FDCWD if folder is None else ctypes.c_int(self.arguments[folder] & 0xFFFFFFFF).value
        with contextlib.suppress(OSError):
            base = os.readlink(f"/proc/{self.thread}/" + ("cwd" if here == AT_FDCWD else f"fd/{here}"))
            return os.path.normpath(os.path.join(base, path))
        return ""

    def _read(self, address: int, length: int) -> bytes:
        memory = os.open(f"/proc/{self.thread}/mem", os.O_RDONLY)
        try:
            return os.pread(memory, length, address)
        except OSError:  # a name at the end of what is mapped
            return os.pread(memory, min(length, 4096 - address % 4096), address)
        finally:
            os.close(memory)


class Watcher(Protocol):
    """Who decides. It is asked for the process itself, not for others that it starts."""

    def entering(self, call: Call) -> Verdict:
        """A call is about to happen."""

    def left(self, call: Call) -> Verdict:
        """A call is over that was to be looked at again; the verdict counts where it says to kill."""


class Tracer:
    """Traces one child from its start to its end. Everything is done by the thread that made it, in a process that has
    no other children: all are waited for."""

    def __init__(self, pid: int, machine: Machine) -> None:
        self._pid = pid
        self._names = {number: name for name, number in machine.numbers.items()}
        self._ours: dict[int, bool] = {pid: True}
        self._under_way: dict[int, Call] = {}
        self._by_offset = platform.machine() == "x86_64"
        _ptrace(_SEIZE, pid, 0, _OPTIONS)

    def follow(self, watcher: Watcher) -> int:
        """Until the process ends; gives its wait status. Whatever it has started is ended then too."""
        try:
            while True:
                thread, status = os.waitpid(-1, _WALL)
                if os.WIFSTOPPED(status):
                    with contextlib.suppress(ProcessLookupError):  # killed meanwhile
                        self._halted(thread, status, watcher)
                elif thread == self._pid:
                    return status
                else:
                    self._ours.pop(thread, None)
        finally:
            self._end_all()

    def _halted(self, thread: int, status: int, watcher: Watcher) -> None:
        ours = self._is_ours(thread)
        sign, event = os.WSTOPSIG(status), status >> 16
        if event == _SECCOMP and ours:
            self._entering(thread, watcher)
        elif sign == _CALL_ENDED:
            self._left(thread, watcher)
        elif event == _STOPPED:
            _ptrace(_CONTINUE if sign == _TRAP else _LISTEN, thread)
        elif event in (_FORKED, _VFORKED, _CLONED, _EXECUTED, _SECCOMP):
            _ptrace(_CONTINUE, thread)
        else:
            _ptrace(_CONTINUE, thread, 0, sign)

    def _entering(self, thread: int, watcher: Watcher) -> None:
        number, *arguments = self._call(thread)[4:11]
        call = Call(thread, self._names[number], tuple(arguments))
        verdict = watcher.entering(call)
        if verdict.kill:
            self._kill()
            return
        if verdict.length is not None:
            self._write_only(thread, verdict.length)
        if verdict.error is not None:
            self._refuse(thread, verdict.error)
        if verdict.back:
            self._under_way[thread] = call
        _ptrace(_TO_EXIT if verdict.back else _CONTINUE, thread)

    def _left(self, thread: int, watcher: Watcher) -> None:
        call = self._under_way.pop(thread)
        call.result = struct.unpack_from("=q", self._raw(thread), 24)[0]
        if watcher.left(call).kill:
            self._kill()
            return
        _ptrace(_CONTINUE, thread)

    def _is_ours(self, thread: int) -> bool:
        if thread not in self._ours:
            self._ours[thread] = os.path.exists(f"/proc/{self._pid}/task/{thread}")
        return self._ours[thread]

    def _kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    def _end_all(self) -> None:
        """What the process has started would find every write failing, without its tracer."""
        for pid in {self._pid, *(pid for pid, ours in self._ours.items() if not ours)}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, _WALL)
                if os.WIFSTOPPED(status):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    # -- the call's arguments, and changing them ----------------------------------------------------------

    def _raw(self, thread: int) -> bytes:
        buffer = ctypes.create_string_buffer(88)
        _ptrace(_GET_CALL, thread, 88, ctypes.addressof(buffer))
        return buffer.raw

    def _call(self, thread: int) -> tuple[int, ...]:
        """Kind of stop, architecture, instruction, stack, then number and six arguments."""
        return struct.unpack_from("=B3xIQQQ6Q", self._raw(thread))

    def _write_only(self, thread: int, length: int) -> None:
        if self._by_offset:
            _ptrace(_POKEUSER, thread, _RDX, length)
        else:
            self._set_register(thread, 2, length)

    def _refuse(self, thread: int, error: int) -> None:
        if self._by_offset:
            _ptrace(_POKEUSER, thread, _ORIG_RAX, -1)
            _ptrace(_POKEUSER, thread, _RAX, -error)
        else:
            none = ctypes.create_string_buffer(struct.pack("=i", -1), 4)
            self._registers(_SET_REGISTERS, thread, _SYSTEM_CALL, none)
            self._set_register(thread, 0, -error)

    def _set_register(self, thread: int, number: int, value: int) -> None:
        registers = ctypes.create_string_buffer(34 * 8)
        self._registers(_GET_REGISTERS, thread, _GENERAL, registers)
        struct.pack_into("=q", registers, number * 8, value)
        self._registers(_SET_REGISTERS, thread, _GENERAL, registers)

    def _registers(self, request: int, thread: int, which: int, buffer: ctypes.Array[ctypes.c_char]) -> None:
        described = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), len(buffer))
        _ptrace(request, thread, which, ctypes.addressof(described))


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.restype = ctypes.c_long
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_ulong, ctypes.c_ulong)
    return libc


def _ptrace(request: int, thread: int, address: int = 0, data: int = 0) -> None:
    if _libc().ptrace(request, thread, address & 2**64 - 1, data & 2**64 - 1) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace: {os.strerror(number)}")


@functools.cache
def why_not() -> str | None:
    """Why no process can be watched here, None where it can: tried out, on a child that writes one byte."""
    machine = this_machine()
    if sys.platform != "linux" or machine is None:
        return "only Linux on x86_64 and aarch64 is known how to trace"
    if struct.calcsize("P") != 8:
        return "this Python has 32 bits"
    return _tried_elsewhere(machine)


def _tried_elsewhere(machine: Machine) -> str | None:
    """In a process of its own: a tracer waits for all children that it has, and this one may have others."""
    _libc()  # nothing is loaded between fork and exit
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            try:
                reason = _tried(machine)
            except OSError as error:
                reason = f"the system does not let a process trace its child ({error})"
            os.write(write, (reason or "").encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, encoding="utf-8") as answer:
        reason = answer.read() or None
    _, status = os.waitpid(pid, 0)
    return reason if status == 0 else "a process that tried to trace a child was ended"


def _tried(machine: Machine) -> str | None:
    read, write = os.pipe()
    go, ready = os.pipe()
    pid = os.fork()
    if not pid:
        code: int | None = 1
        try:
            os.close(ready)
            os.read(go, 1)
            halt_at_writes(machine)
            os.write(write, b"12")
            try:
                os.write(write, b"3")
            except OSError as error:
                code = error.errno
        finally:
            os._exit(code or 1)
    try:
        os.close(go)
        tracer = Tracer(pid, machine)
        os.write(ready, b"g")
        status = tracer.follow(_Trial())
        os.close(write)
        write = -1
        told = os.read(read, 8)
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for descriptor in (read, ready, write):
            if descriptor >= 0:
                os.close(descriptor)
    if told != b"1" or os.waitstatus_to_exitcode(status) != errno.ENOSPC:
        return "a traced child did not do as it was told"
    return None


class _Trial:
    """Half of the first write, and an error for the second."""

    def __init__(self) -> None:
        self._seen = 0

    def entering(self, call: Call) -> Verdict:
        self._seen += 1
        return Verdict(length=1, back=True) if self._seen == 1 else Verdict(error=errno.ENOSPC)

    def left(self, call: Call) -> Verdict:
        return GO_ON
