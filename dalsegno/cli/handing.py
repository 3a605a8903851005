"""Runs that the engine has, for commands that are told a thread: waiting for one, going on with one, ending one."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TextIO

from dalsegno.distributed.orders import letter_of
from dalsegno.nodes.secrets import input_shown

if TYPE_CHECKING:
    from dalsegno.checkpoints import Ledger
    from dalsegno.distributed import Client, Handle
    from dalsegno.distributed.orders import Letter


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a run is shown: `out` is where the one JSON document goes, `db_option` what `--db` was."""

    db_option: str | None
    as_json: bool
    quiet: bool
    full_traceback: bool
    out: TextIO


def letter_of_thread(ledger: Ledger, thread: str) -> Letter | None:
    """How the last run of a thread was handed to the engine; None where it was not, as none of a file was."""
    if not ledger.database.is_shared:
        return None
    run = ledger.latest(thread, plain=True)
    return letter_of(ledger, run.run_id) if run is not None else None


def printed(handle: Handle, manner: Manner) -> int:
    """Wait for a run and print how it ended; its exit code."""
    from dalsegno.cli import exits
    from dalsegno.cli.outcomes import print_outcome
    from dalsegno.cli.screen import print_json

    result, run = handle.result(), handle.record()
    result = replace(result, output=input_shown(result.output, run.shape))
    if manner.as_json:
        print_json(result.to_dict(), manner.out)
    else:
        proved = (run.certificate or {}).get("supersteps")
        print_outcome(result, proved, manner.db_option, full=manner.full_traceback)
    if result.status in ("queued", "running", "stopped"):
        from dalsegno.cli.screen import Screen

        Screen(sys.stderr).line(
            "the engine no longer has the run: it was given up, or ended there by other means, or a worker that has "
            "another --db took it"
        )
    return exits.code_of_status(result.status)


def resumed(thread: str, letter: Letter, manner: Manner, *, value: Any, **said: Any) -> int:
    """Have a worker go on with a thread's run, and print how it ended; its exit code."""
    from dalsegno.cli.options import database
    from dalsegno.cli.screen import Screen

    with _client(str(database(manner.db_option)), letter) as client:
        handle = client.handle(thread)
        handle.resume(value, **said)
        if not (manner.quiet or manner.as_json):
            Screen(sys.stderr).line("a worker goes on with it; Ctrl-C does not stop it")
        return printed(handle, manner)


def cancelled(ledger: Ledger, thread: str, letter: Letter) -> Literal["asked", "cancelled"]:
    """Cancel a thread's run, in the ledger and in the engine."""
    with _client(ledger.database.url, letter) as client:
        return client.handle(thread).cancel()


def _client(db: str, letter: Letter) -> Client:
    """A client of the engine that has the run; DALSEGNO_ENGINE says where that is from here."""
    from dalsegno.distributed import Client

    engine = os.environ.get("DALSEGNO_ENGINE") or letter.place.engine
    return Client(engine, db=db, namespace=letter.place.namespace or None)
