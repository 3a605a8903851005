"""What the examples have in common: one command, the proof before the run, and `--model` for a real model."""

from __future__ import annotations

import argparse
import ast
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dalsegno import Runner, Workflow

_PARSING = threading.Lock()


def parsed(source: str) -> ast.Module:
    """`ast.parse`, one at a time: two at once may end in a SystemError before Python 3.12 (python/cpython#106905)."""
    with _PARSING:
        return ast.parse(source)


def play(
    flow: Callable[[str | None], Workflow],
    given: Mapping[str, Any],
    show: Callable[[Mapping[str, Any]], Iterable[str]],
) -> None:
    """Make the workflow, say what is proved of it, run it, and print what `show` makes of its output.

    With ``--model provider:name`` a real model plays, which leaves this machine; without it nothing does.
    """
    options = argparse.ArgumentParser()
    options.add_argument("--model", metavar="PROVIDER:NAME", help="a chat model (the extra `models`)")
    options.add_argument("--db", metavar="PATH", help="keep the run; default: nothing is kept")
    asked = options.parse_args()
    made = flow(asked.model)
    report = made.validate()
    report.raise_for_errors()
    certificate = report.certificate
    assert certificate is not None
    print(f"{made.name}: every run ends within {certificate.supersteps} supersteps.", flush=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        Runner(made, db=asked.db or Path(folder) / "runs.db") as runner,
    ):
        result = runner.run(dict(given)).raise_for_status()
        print(f"This one took {result.supersteps}.")
        for line in show(result.output):
            print(line)
