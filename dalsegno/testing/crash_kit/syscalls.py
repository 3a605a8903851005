"""The system calls by which a process changes files, and the filter that has it halt at them.

The filter is a program of the classic Berkeley Packet Filter, as seccomp takes it
(https://www.kernel.org/doc/html/latest/userspace-api/seccomp_filter.html): the kernel itself passes over
every other call, so that a process under watch is hardly slower.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass
from typing import Literal

Kind = Literal["data", "sync", "length", "name", "open"]

AT_FDCWD = -100


@dataclass(frozen=True)
class Layout:
    """How one kind of call carries its arguments: the places of a file descriptor, of names, of a length.

    `names` are pairs of the place of a folder's descriptor (None: the working directory) and that of a name.
    """

    kind: Kind
    fd: int | None = None
    names: tuple[tuple[int | None, int], ...] = ()
    flags: int | None = None


_BY_FD = Layout("data", fd=0)
LAYOUTS: dict[str, Layout] = {
    "write": _BY_FD, "pwrite64": _BY_FD, "writev": _BY_FD, "pwritev": _BY_FD, "pwritev2": _BY_FD,
    "fsync": Layout("sync", fd=0), "fdatasync": Layout("sync", fd=0),
    "ftruncate": Layout("length", fd=0), "fallocate": Layout("length", fd=0),
    "truncate": Layout("length", names=((None, 0),)),
    "unlink": Layout("name", names=((None, 0),)), "unlinkat": Layout("name", names=((0, 1),)),
    "rmdir": Layout("name", names=((None, 0),)),
    "mkdir": Layout("name", names=((None, 0),)), "mkdirat": Layout("name", names=((0, 1),)),
    "rename": Layout("name", names=((None, 0), (None, 1))),
    "renameat": Layout("name", names=((0, 1), (2, 3))), "renameat2": Layout("name", names=((0, 1), (2, 3))),
    "open": Layout("open", names=((None, 0),), flags=1), "openat": Layout("open", names=((0, 1),), flags=2),
}  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """The numbers of one architecture; `audit` is its AUDIT_ARCH."""

    audit: int
    numbers: dict[str, int]


MACHINES = {
    "x86_64": Machine(0xC000003E, {
        "write": 1, "open": 2, "pwrite64": 18, "writev": 20, "fsync": 74, "fdatasync": 75, "truncate": 76,
        "ftruncate": 77, "rename": 82, "mkdir": 83, "rmdir": 84, "unlink": 87, "openat": 257, "mkdirat": 258,
        "unlinkat": 263, "renameat": 264, "fallocate": 285, "pwritev": 296, "renameat2": 316, "pwritev2": 328,
    }),
    "aarch64": Machine(0xC00000B7, {
        "mkdirat": 34, "unlinkat": 35, "renameat": 38, "truncate": 45, "ftruncate": 46, "fallocate": 47,
        "openat": 56, "write": 64, "writev": 66, "pwrite64": 68, "pwritev": 70, "fsync": 82, "fdatasync": 83,
        "renameat2": 276, "pwritev2": 287,
    }),
}  # fmt: skip

# linux/bpf_common.h, linux/filter.h, linux/seccomp.h
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _TRACE = 0x7FFF0000, 0x7FF00000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2


def this_machine() -> Machine | None:
    """The numbers for this machine, None where they are not known."""
    return MACHINES.get(platform.machine())


def filter_program(machine: Machine) -> bytes:
    """The instructions, 8 bytes each: halt at calls that change files, let every other one pass.

    Opening is halted at only where it may make a file or empty it.
    """
    changing = os.O_CREAT | os.O_TRUNC
    rules: list[bytes] = []
    for name, number in machine.numbers.items():
        flags = LAYOUTS[name].flags
        if flags is None:
            rules.append(_instruction(_EQUAL, number, 0, 1) + _instruction(_RETURN, _TRACE))
        else:
            rules.append(
                _instruction(_EQUAL, number, 0, 4)
                + _instruction(_LOAD, _ARGUMENTS + 8 * flags)
                + _instruction(_ANY_BIT, changing, 0, 1)
                + _instruction(_RETURN, _TRACE)
                + _instruction(_RETURN, _ALLOW)
            )
    start = (
        _instruction(_LOAD, _ARCHITECTURE)
        + _instruction(_EQUAL, machine.audit, 1, 0)
        + _instruction(_RETURN, _ALLOW)
        + _instruction(_LOAD, _NUMBER)
    )
    return start + b"".join(rules) + _instruction(_RETURN, _ALLOW)


def _instruction(code: int, operand: int, true: int = 0, false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, true, false, operand)


def halt_at_writes(machine: Machine) -> None:
    """Have this process, its threads and its children halt at those calls, for a tracer to look at them.

    For good: a filter cannot be taken away again. Without a tracer the calls would fail.
    """
    program = filter_program(machine)
    instructions = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))

    described = Program(len(program) // 8, ctypes.addressof(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    for arguments in (
        (_NO_NEW_PRIVILEGES, ctypes.c_ulong(1), zero, zero, zero),
        (_SET_SECCOMP, ctypes.c_ulong(_FILTER), ctypes.byref(described), zero, zero),
    ):
        if libc.prctl(*arguments):
            number = ctypes.get_errno()
            raise OSError(number, f"prctl: {errno.errorcode.get(number, number)}")
