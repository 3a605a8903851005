"""The three standard streams, where one is closed or cannot be written."""

from __future__ import annotations

import contextlib
import errno
import os
import sys

_NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EBADF)


def complete() -> None:
    """Open the null device for a standard stream that was closed (``>&-``).

    Python has None for it then, and its number would go to the next file that is opened: a database would be where
    others print.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for the process's life


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
