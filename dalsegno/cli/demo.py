"""`dalsegno demo`: the main job on real text: check, run, kill, resume, answer, draw."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from dalsegno.cli import options
from dalsegno.cli.exits import COMPLETED, UsageError, reporting


@reporting
def command(
    question: Annotated[
        str | None, typer.Argument(help="What to ask about Python. Default: a question of the demo's own.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="PROVIDER:NAME",
            help="Let this chat model write the answer. Question and sources leave this machine.",
        ),
    ] = None,
    db: Annotated[
        str | None, typer.Option("--db", metavar="PATH", help="The database. Default: .dalsegno/demo.db.")
    ] = None,
    as_json: options.Json = False,
    traceback: options.Traceback = False,
) -> int:
    """See a run answer a question, be killed twice, and resume.

    The answer comes from Python's own documentation. The demo needs no key, no network and no language model, unless
    --model names one.
    """
    if model is not None:
        os.environ["DALSEGNO_MODEL"] = model
    else:
        os.environ.pop("DALSEGNO_MODEL", None)
    from dalsegno.checkpoints.opening import file_of, is_server
    from dalsegno.cli.screen import Screen, print_json, stdout_kept_for_json
    from dalsegno.demo.show import show

    if db is not None and is_server(db):
        raise UsageError(
            "--db: the demo needs a file, not a server: it reads its database with SQLite's own tools."
        )
    where = Path(file_of(db)) if db is not None else options.own_database().with_name("demo.db")
    with stdout_kept_for_json(as_json) as out:
        shown = show(question, where, say=lambda line: Screen(sys.stdout).line(line))
        if as_json:
            print_json(shown, out)
    sys.stdout.flush()
    return COMPLETED
