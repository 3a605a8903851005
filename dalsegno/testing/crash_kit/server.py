"""A crash test's server as a process of its own, for a target that is named: ``path.py:name``.

Nothing of the caller is in it, neither threads nor open files, as when the workflow is run from the
command line. The request comes on its standard input, which stays open as long as the caller lives;
the answer goes to its standard output.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from dalsegno.errors import DefinitionError
from dalsegno.testing.crash_kit.campaign import campaign
from dalsegno.testing.crash_kit.forking import Server, check_system, given, serve
from dalsegno.testing.crash_kit.judging import Same
from dalsegno.testing.crash_kit.planning import Plan
from dalsegno.testing.crash_kit.playing import Play

_PROGRAM = "import sys; sys.path[:] = {path!r}; from dalsegno.testing.crash_kit.server import main; main()"


def in_subprocess(play: Play, plan: Plan, folder: Path, same: Same) -> Any:
    """Run the campaign of a named target in a new process.

    Raises
    ------
    DefinitionError
        The input, the answers or another argument cannot be given to another process.
    """
    check_system()
    try:
        request = pickle.dumps((play, plan, folder, same))
    except Exception as error:  # whatever an object of the user's raises when it cannot be pickled
        raise DefinitionError(
            f"The target {play.target!r} is loaded in another process, and an argument cannot be given to it "
            f"({error}). Use functions and classes that can be imported, or pass the workflow itself."
        ) from error
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM.format(path=sys.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C goes to the caller, whose end is seen by the end of the input
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it died; `given` says so
            process.stdin.write(len(request).to_bytes(8, "big") + request)
            process.stdin.flush()
        told = process.stdout.read()
    return given(told)


def main() -> None:
    """Answer one request."""
    out = os.dup(1)
    os.dup2(2, 1)  # what the user's module prints is no answer
    size = int.from_bytes(_read(8), "big")
    request = _read(size)

    def work(server: Server) -> Any:
        from dalsegno.graphs.loading import load_target

        play, plan, folder, same = pickle.loads(request)
        loaded = replace(play, target=load_target(play.target).graph)
        return campaign(server, loaded, plan, folder, same)

    serve(work, 0, out)


def _read(size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = os.read(0, size - len(data))
        if not part:
            raise SystemExit("The request ends early.")
        data += part
    return data
