"""The three standard streams, where one is closed, cannot be written, or is read by nobody any more."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer

_NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EBADF)


def complete() -> None:
    """Open the null device for a standard stream that was closed (``>&-``).

    Python has None for it then, and its number would go to the next file that is opened: a database would be where
    others print.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for the process's life


class _Outliving(io.FileIO):
    """A pipe whose reader may leave (``| head -1``), or a terminal that may be closed (a lost connection, of a command
    that was disowned): what is written from then on goes nowhere.

    What was asked for is done all the same, and the exit code tells how it went: a run does not fail because
    a node of it printed.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)
        self.left = False
        self._gone = errno.EIO if self.isatty() else errno.EPIPE

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno != self._gone:
                raise
            self.left = True
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())  # for the programs that a node starts as well
            os.close(nowhere)
            return super().write(data)


def outlive_readers() -> None:
    """Let stdout and stderr, where they are pipes or terminals, go on when nobody reads them any more."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(OSError, ValueError):
                if stream.isatty() or _is_pipe(stream.fileno()):
                    setattr(sys, name, piped(stream, stream.fileno()))


def piped(stream: io.TextIOWrapper, number: int, errors: str | None = None) -> io.TextIOWrapper:
    """A stream to that file descriptor, in all else as this one, that outlives its reader."""
    stream.flush()
    raw = _Outliving(number)
    unbuffered = isinstance(stream.buffer, io.RawIOBase)  # PYTHONUNBUFFERED
    return io.TextIOWrapper(
        raw if unbuffered else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=errors or stream.errors,
        line_buffering=stream.line_buffering,
        write_through=unbuffered,
    )


def is_unread(stream: TextIO) -> bool:
    """Whether the reader of a stream has left, so that nothing more need be written."""
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    return isinstance(raw, _Outliving) and raw.left


def _is_pipe(number: int) -> bool:
    mode = os.fstat(number).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def is_not_written(error: OSError) -> bool:
    """Whether what failed is writing to a stream, and no file that has a name."""
    return error.filename is None and error.errno in _NOT_WRITTEN


def give_up(error: OSError) -> None:
    """Say that stdout could not be written, and let nothing that is left for it fail once more at the end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"error: The output could not be written: {error.strerror}. What was run is kept.\n")
        sys.stderr.flush()
