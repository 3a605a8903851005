"""One attempt at a turn: go on with a run from its mark, and say how that ended. It knows nothing of Temporal."""

from __future__ import annotations

import asyncio
import os
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dalsegno.checkpoints import Claim
from dalsegno.checkpoints.lease import this_process
from dalsegno.distributed.orders import ENDED, Letter, Outcome, Turn, letter_of
from dalsegno.errors import (
    CheckpointError,
    DalsegnoError,
    NothingToResume,
    NotSerializable,
    ThreadBusy,
    TypeNotAllowed,
    UnknownRun,
    UnknownThread,
)
from dalsegno.nodes.policies import Budget
from dalsegno.nodes.secrets import Secrets
from dalsegno.runtime.answering import deadline
from dalsegno.runtime.view import as_it_stands

if TYPE_CHECKING:
    from dalsegno.checkpoints import RunRecord
    from dalsegno.runtime import Runner

_NOT_THE_RUNS = ("CheckpointError", "DatabaseUnavailable", "DatabaseInvalid", "Fenced", "ThreadBusy")
"""Errors by which a database that failed is recorded of a run, where it could still be written."""


def advance(runner: Runner, turn: Turn, attempt: int) -> Outcome:
    """Go on with a run until it ends or pauses; one that an earlier attempt has settled is left as it is.

    Raises
    ------
    Fenced, ThreadBusy
        Another attempt has the thread, or a process that the engine does not know of.
    CheckpointError
        The database is away, or refuses. Not where it is a value that cannot be kept or read: then the run has failed,
        as where a node ends the program (``sys.exit()``).
    """
    try:
        return _advanced(runner, turn, attempt)
    except (NotSerializable, TypeNotAllowed) as error:
        run = runner.ledger.get(turn.order.run_id, plain=True)
        return outcome_of(run) if is_settled(run, turn.resumes) else _refused(runner, turn, attempt, error)
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:  # a node that ends the program: it would at every attempt, for ever
        run = runner.ledger.get(turn.order.run_id, plain=True)
        secrets = runner.pending(run.thread).secrets(runner.schemas, run.input)
        return _refused(runner, turn, attempt, error, secrets)


def _advanced(runner: Runner, turn: Turn, attempt: int) -> Outcome:
    order, ledger = turn.order, runner.ledger
    run = _run_of(runner, turn)
    if run is None:
        return Outcome("deleted")
    if is_settled(run, turn.resumes):
        return outcome_of(run)
    letter = letter_of(ledger, order.run_id, turn.letter)
    letter = letter if letter is not None and turn.new else _only_context(letter)
    value = None
    if letter is not None and letter.answers is not None:
        value = _still_asked(runner, run, letter) or None
        if value is None and run.status == "interrupted":
            return outcome_of(run)  # somebody else has answered
    try:
        result = runner.resume(
            order.thread,
            value,
            rename=dict(letter.rename) if letter else None,
            accept_changes=letter.accept_changes if letter else False,
            context=letter.context if letter else None,
            budget=Budget(**letter.budget) if letter and letter.budget else None,
            claim=claim_of(turn, attempt),
        )
    except (NothingToResume, UnknownThread):
        run = _run_of(runner, turn)
        return Outcome("deleted") if run is None else outcome_of(run)
    except (CheckpointError, ThreadBusy):
        raise
    except DalsegnoError as error:
        return _refused(runner, turn, attempt, error)
    if result.status not in ("interrupted", "failed"):
        return Outcome(result.status)  # there is no turn after it that would ask
    run = ledger.get(order.run_id, plain=True)
    if value is not None:
        return outcome_of(run)
    asked_again = min(run.started_at, run.updated_at)  # a clock may have been set back
    return replace(outcome_of(run), deadline=deadline(run.interrupts, asked_again=asked_again))


def withdraw(runner: Runner, turn: Turn, attempt: int) -> Outcome:
    """Record that a run was cancelled in the engine, by whatever tool; its worker is done with it, or dead."""
    run = _run_of(runner, turn)
    if run is None or run.status in ("completed", "cancelled"):
        return Outcome(run.status if run else "deleted")
    run = as_it_stands(runner.ledger, run)
    lease = runner.ledger.acquire(run.thread, run.run_id, claim=claim_of(turn, attempt))
    runner.ledger.finish(lease, "cancelled", supersteps=run.supersteps, usage=run.usage)
    return Outcome("cancelled", run.resumes)


def claim_of(turn: Turn, attempt: int) -> Claim:
    """By what an attempt takes the thread from all earlier ones."""
    me = this_process()
    return Claim(f"worker {os.getpid()} on {me.host}", turn.token(attempt))


def is_settled(run: RunRecord, resumes: int) -> bool:
    """Whether a run has ended or paused since it had been resumed so often."""
    if run.status in ("completed", "cancelled"):
        return True
    if run.status not in ("failed", "interrupted") or run.resumes <= resumes:
        return False
    return run.status == "interrupted" or (run.error or {}).get("type") not in _NOT_THE_RUNS


def outcome_of(run: RunRecord) -> Outcome:
    """How a run stands, as the engine is told."""
    return Outcome(run.status, run.resumes, deadline(run.interrupts))


def _run_of(runner: Runner, turn: Turn) -> RunRecord | None:
    """The run, if it is still there and still the last of its thread."""
    latest = runner.ledger.latest(turn.order.thread, plain=True)
    if latest is not None and latest.run_id == turn.order.run_id:
        return latest
    try:
        run = runner.ledger.get(turn.order.run_id, plain=True)
    except UnknownRun:
        return None
    return run if run.status in ENDED else None


def _only_context(letter: Letter | None) -> Letter | None:
    """Of a letter that was acted on: the context is still the run's, an answer is given once."""
    return Letter(letter.place, context=letter.context) if letter is not None else None


def _still_asked(runner: Runner, run: RunRecord, letter: Letter) -> dict[str, Any]:
    """The answers to questions that still wait; one that an earlier attempt has given is not given again."""
    asked = {str(i["id"]): i["value"] for i in run.interrupts}
    if run.status != "interrupted":  # an attempt at this turn was lost, before or after the answer was kept
        pending = runner.pending(run.thread)
        secrets = pending.secrets(runner.schemas, run.input)
        asked = {str(i["id"]): secrets.shown(i)["value"] for i in pending.interrupts}
    return {
        key: answer
        for key, answer in (letter.answers or {}).items()
        if key in asked and (key not in letter.questions or asked[key] == letter.questions[key])
    }


def _refused(
    runner: Runner, turn: Turn, attempt: int, error: BaseException, secrets: Secrets | None = None
) -> Outcome:
    """Record that a run cannot go on in this worker's code, as a failure that a resume can mend."""
    shown = (secrets or Secrets()).text
    run_id, thread = turn.order.run_id, turn.order.thread
    run = as_it_stands(runner.ledger, runner.ledger.get(run_id, plain=True))
    lease = runner.ledger.acquire(thread, run_id, claim=claim_of(turn, attempt))
    described = {
        "type": type(error).__name__,
        "message": shown(str(error) or "a node raised it"),
        "node": None,
        "attempt": None,
        "traceback": shown("".join(traceback.format_exception(error))),
    }
    runner.ledger.finish(lease, "failed", error=described, supersteps=run.supersteps, usage=run.usage)
    return Outcome("failed", runner.ledger.get(run_id, plain=True).resumes)
