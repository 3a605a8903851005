"""A user who may do nothing in particular, for tests of what may not be read or written."""

from __future__ import annotations

import os


def become_nobody() -> None:
    """Give up what root may do, in a process that is root's."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
