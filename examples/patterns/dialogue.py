"""What the examples of conversations have in common: several messages, each a run on one thread."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dalsegno import Runner, Workflow


def play(
    flow: Callable[[str | None], Workflow],
    messages: Iterable[str],
    show: Callable[[Mapping[str, Any]], Iterable[str]],
    **options: Any,
) -> None:
    """Make the workflow, say what is proved of it, and run it once for each message.

    With ``--model provider:name`` a real model plays, which leaves this machine; without it nothing does. `options`
    are those of the `Runner`.
    """
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--model", metavar="PROVIDER:NAME", help="a chat model (the extra `models`)")
    made = flow(arguments.parse_args().model)
    report = made.validate()
    report.raise_for_errors()
    certificate = report.certificate
    assert certificate is not None
    print(f"{made.name}: every turn ends within {certificate.supersteps} supersteps.", flush=True)
    with TemporaryDirectory() as folder, Runner(made, db=Path(folder) / "runs.db", **options) as runner:
        for message in messages:
            result = runner.run({"message": message}, thread="talk").raise_for_status()
            for line in show(result.output):
                print(line)
