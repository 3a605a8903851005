"""How the failure of a run is told: its type, its message, the node, the attempt and the traceback."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

from dalsegno.errors import as_typed
from dalsegno.graphs.model import START
from dalsegno.nodes.policies.words import words_of
from dalsegno.runtime.pending import Pending

if TYPE_CHECKING:
    from dalsegno.runtime.session import Session


def told(error: Exception | None, session: Session, pending: Pending) -> dict[str, Any] | None:
    """A failure as the ledger keeps it, with the secrets in it masked; None where there is none."""
    if error is None:
        return None
    execution = session.failure_of(error)
    message = session.secrets.text(words_of(error))
    node: str | None
    if execution is not None:
        node = session.shown(execution.place)
    elif pending.is_stuck:
        node = pending.tasks[0] if len(pending.tasks) == 1 else None
        message = f"{message.rstrip('.')}. {_stuck(pending, session.thread)}"
    else:
        node = next((name for name, _ in pending.errors), None)
    return {
        "type": type(error).__name__,
        "message": message,
        "node": node,
        "attempt": execution.attempt if execution else None,
        "traceback": session.secrets.text("".join(traceback.format_exception(error))),
    }


def first_failure(error: Exception, session: Session) -> Exception:
    """The failure that a run has ended with, where LangGraph raises that one.

    Of nodes of one superstep that fail nearly together it raises any: it is the one that failed first, and where this
    one is a subworkflow, the one that failed first in it. What a retry or an error handler takes over is none.
    """
    failing = list(session.failing.values())
    looked = set[str | None]()
    while True:
        raised_in = [execution.checkpoint_id for execution, raised in reversed(failing) if raised is error]
        level = next((checkpoint for checkpoint in raised_in if checkpoint not in looked), None)
        if level is None:
            return error
        looked.add(level)
        beside = (
            raised
            for execution, raised in failing
            if execution.checkpoint_id == level and isinstance(raised, Exception) and not execution.handled
        )
        error = next(beside, error)


def _stuck(pending: Pending, thread: str) -> str:
    if pending.tasks == (START,):
        return "The input cannot be put into the state: give this run up (`--abandon`), with another input."
    names = ", ".join(f"`{name}`" for name in dict.fromkeys(pending.tasks))
    return (
        f"What {names} returned in this superstep cannot be put into the state. It is kept, and resuming does not run "
        "them again: mend the reducer of that key, or give it one, and resume; or run them again in a new thread: "
        f"`dalsegno fork {as_typed(thread, f'--at {pending.checkpoint_id}')}`."
    )
