"""Starts `dalsegno` again and again without importing everything again: a process that has it all, and forks.

A JSON object a line comes on its standard input: ``{"argv", "cwd", "env", "log"}`` forks a child that runs the command
line, as a process of its own, and answers its id; ``{"poll": pid}`` answers its exit code, or null. It ends with its
input, and its children with it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import dalsegno.graphs.compiling
import dalsegno.graphs.loading
import dalsegno.service
import dalsegno.service.metrics
import dalsegno.service.server
import dalsegno.viz.page  # noqa: F401  # children find it imported
from dalsegno.cli import main


def serve() -> dict[str, Any] | None:
    """Answer requests; gives the request to a child, None to the parent at the end."""
    children: set[int] = set()
    for line in sys.stdin:
        asked = json.loads(line)
        if "poll" in asked:
            found, status = os.waitpid(asked["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if found else None
            children.discard(found)
        else:
            answer = os.fork()
            if not answer:
                return asked
            children.add(answer)
        print(json.dumps(answer), flush=True)
    for child in children:
        os.kill(child, signal.SIGKILL)
    return None


def become(asked: dict[str, Any]) -> int:
    """Be the command."""
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for standard in (1, 2):
        os.dup2(log, standard)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(asked["cwd"])
    os.environ.update(asked["env"])
    return main(asked["argv"])


if __name__ == "__main__":
    request = serve()
    sys.exit(become(request) if request is not None else 0)
