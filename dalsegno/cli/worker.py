"""`dalsegno worker`: take runs from a queue, until told to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from dalsegno.cli import options
from dalsegno.cli.exits import COMPLETED, UsageError, reporting

if TYPE_CHECKING:
    from dalsegno.distributed import Worker

Engine = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT", help="The Temporal server. Default: DALSEGNO_ENGINE, else 127.0.0.1:7233."
    ),
]
SharedDb = Annotated[
    str | None,
    typer.Option("--db", metavar="URL", help="The database, postgresql://…. Default: DALSEGNO_DB."),
]
Queue = Annotated[str, typer.Option(metavar="Q", help="The queue of the workflow.")]


@reporting
def command(
    target: Annotated[
        list[str],
        typer.Option(metavar="TARGET", help="path/to/file.py:name, package.module:name or file.yaml."),
    ],
    db: SharedDb = None,
    engine: Engine = None,
    queue: Queue = "default",
    concurrency: Annotated[int, typer.Option(min=1, help="How many runs go on at once.")] = 20,
    connections: Annotated[int, typer.Option(min=1, help="Connections to the database, at most.")] = 10,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> int:
    """Take runs of a workflow from a queue, and run them.

    Each run continues from its mark.

    SIGTERM and Ctrl-C stop it: it takes no more runs, and those under way stop after their superstep and go to
    another worker. A second signal ends it at once; another worker then executes again what was in flight.

    Exit: 0 stopped, 1 the workflow is invalid, 2 wrong usage, or the workflow cannot be loaded, or the engine or the
    database cannot be reached.
    """
    url = shared_database(db)
    from dalsegno.distributed.sharing import refuse_a_file

    refuse_a_file(url)
    if len(target) > 1:
        raise UsageError(
            f"A worker takes the runs of one workflow, and `--target` names {len(target)}: "
            f"{', '.join(f'`{each}`' for each in target)}. Start a worker for each."
        )
    from dalsegno.cli.loading import load
    from dalsegno.cli.screen import Screen

    loaded = load(target[0])
    from dalsegno.distributed import Worker

    worker = Worker(
        loaded.graph,
        db=url,
        engine=engine,
        queue=queue,
        concurrency=concurrency,
        connections=connections,
        target=loaded.target,
    )
    screen = Screen(sys.stderr)

    def ready() -> None:
        if not quiet:
            screen.line(
                f"worker {os.getpid()} takes runs of {worker.runner.spec.name} from queue {queue} at {worker.engine}, "
                f"{concurrency} at once"
            )

    stop_by_signals(worker)
    worker.run(ready)
    if not quiet:
        with contextlib.suppress(OSError):  # who read it may be gone
            screen.line("stopped; what was under way goes on elsewhere")
    return COMPLETED


def shared_database(given: str | None) -> str:
    """The database that was named."""
    named = given or os.environ.get("DALSEGNO_DB")
    if not named:
        raise UsageError(
            "Workers share a database: name it with --db postgresql://user:password@host/database."
        )
    return named


def stop_by_signals(worker: Worker) -> None:
    """Drain at the first SIGTERM or Ctrl-C, end at once at the second."""
    asked: list[int] = []

    def came(number: int, frame: FrameType | None) -> None:
        if asked:
            os._exit(128 + number)
        asked.append(number)
        worker.drain()
        with contextlib.suppress(OSError):  # an error here would be the worker's
            os.write(2, b"stopping after this superstep; again stops at once\n")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, came)
