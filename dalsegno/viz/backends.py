"""DOT -> a picture's bytes, by the Graphviz that is at hand: pygraphviz first, then `dot`."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator

from dalsegno.errors import MissingExtra, RenderError

_DOTS_PER_INCH = 192
# Graphviz keeps its state in globals: one drawing at a time in a process.
_ONE_AT_A_TIME = threading.Lock()
_STDERR = 2
SYSTEM_LIBRARIES = ("libglib2.0-0", "libxext6", "libxrender1")
"""The packages with what the wheels of pygraphviz take from the system."""


def picture(source: str, format: str, *, placed: bool = False) -> bytes:
    """What Graphviz draws from `source`, in one of its formats (``json0``, ``png``, ``pdf``).

    `placed` says that everything in `source` has its position already.

    Raises
    ------
    MissingExtra
        There is neither a pygraphviz that can be loaded nor a `dot` on the PATH.
    RenderError
        Graphviz failed; the message holds what it said.
    """
    try:
        import pygraphviz  # noqa: F401
    except ImportError as error:
        return _with_dot(source, format, placed, error)
    return _with_pygraphviz(source, format, placed)


def _with_pygraphviz(source: str, format: str, placed: bool) -> bytes:
    import pygraphviz

    with _ONE_AT_A_TIME, _quiet():
        try:
            graph = pygraphviz.AGraph(string=source)
            if format == "png":
                graph.graph_attr["dpi"] = str(_DOTS_PER_INCH)
            return bytes(graph.draw(format=format, prog="nop2" if placed else "dot"))
        except (ValueError, OSError, pygraphviz.DotError) as error:
            raise RenderError(f"Graphviz could not draw the picture: {error}", format=format) from error


def _with_dot(source: str, format: str, placed: bool, no_pygraphviz: ImportError) -> bytes:
    dot = shutil.which("dot")
    if dot is None:
        if isinstance(no_pygraphviz, ModuleNotFoundError) and no_pygraphviz.name == "pygraphviz":
            way = "pip install 'dalsegno[render]' (carries it)"
        else:
            why = str(no_pygraphviz).strip().partition("\n")[0]
            way = (
                f"pygraphviz carries it, and cannot be loaded here ({why}). It uses libraries that small systems "
                f"lack: apt-get install {' '.join(SYSTEM_LIBRARIES)} on Debian and Ubuntu"
            )
        raise MissingExtra(
            f"Pictures and pages need Graphviz: {way}, or install Graphviz so that `dot` is on the PATH. DOT and "
            "Mermaid (.dot, .mmd) need neither.",
            extra="render",
            format=format,
        )
    density = [f"-Gdpi={_DOTS_PER_INCH}"] if format == "png" else []
    command = [dot, f"-T{format}", "-q", *(["-Knop2"] if placed else []), *density]
    done = subprocess.run(command, input=source.encode(), capture_output=True, check=False)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise RenderError(f"`dot` could not draw the picture: {said}", format=format)
    return done.stdout


_CHATTER = (b"Fontconfig warning", b"Warning: ", b"in label of ")  # the last is a warning's second line
_SCALED = b"is too large for cairo-renderer bitmaps"  # a PNG has no more than 32,767 points a side


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps warnings off the terminal: those of fontconfig, and of Graphviz on large graphs.

    The fontconfig within pygraphviz's wheels is older than many systems' settings and writes a
    warning for each word it does not know, straight to the descriptor. Everything else that is
    written to it in the meantime is passed on.
    """
    try:
        kept = os.dup(_STDERR)
    except OSError:  # no standard error at all
        yield
        return
    with tempfile.TemporaryFile() as aside:
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(aside.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)
            aside.seek(0)
            for line in aside:
                if not line.startswith(_CHATTER) and _SCALED not in line:
                    os.write(_STDERR, line)
