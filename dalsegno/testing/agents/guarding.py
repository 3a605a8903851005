"""A process that ends others when the one that started it is gone, also where that was killed with ``kill -9``.

It is started by its file's path, needs nothing but the standard library, and reads lines: ``+ID`` is a process group to
end, ``-ID`` one that has ended. The end of its input is the end of who wrote it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable

GRACE = 3.0
"""Seconds between asking a group to end and ending it."""


def main(lines: Iterable[str]) -> None:
    """Read to the end, then end every group that is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the end of the input is meant for it
    groups: set[int] = set()
    for line in lines:
        group = int(line[1:])
        if line[0] == "+":
            groups.add(group)
        else:
            groups.discard(group)
    until = time.monotonic() + GRACE
    left = {group for group in groups if told(group, signal.SIGTERM)}
    while left and time.monotonic() < until:
        time.sleep(0.02)
        left = {group for group in left if told(group, 0)}
    for group in left:
        told(group, signal.SIGKILL)


def told(group: int, number: int) -> bool:
    """Send a signal to a process group (0: none, only look); whether there was anybody."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: permission, for what is dying
        os.killpg(group, number)
        return True
    return False


if __name__ == "__main__":
    main(sys.stdin)
