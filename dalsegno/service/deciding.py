"""What is done next with a run that was asked for: pure, of its request and of what the ledger knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dalsegno.checkpoints.records import RunRecord
from dalsegno.checkpoints.requests import Request
from dalsegno.runtime.answering import deadline


@dataclass(frozen=True)
class Go:
    """Take its thread and go on, with that answer; `died` where its last process died."""

    value: Any = None
    accept_changes: bool = False
    budget: Mapping[str, Any] | None = None
    died: bool = False


@dataclass(frozen=True)
class Look:
    """Leave it, and look at it again at that time (unix seconds); None: when somebody asks."""

    at: float | None


@dataclass(frozen=True)
class Cancel:
    """Somebody asked its process to cancel it, and that process died before it did."""


@dataclass(frozen=True)
class GiveUp:
    """Its process died too often."""


Step = Go | Look | Cancel | GiveUp


def next_step(
    request: Request,
    run: RunRecord | None,
    now: float,
    *,
    recheck: float,
    deaths: int,
    is_cancelled: Callable[[], bool],
    waiting: Callable[[], Sequence[Mapping[str, Any]]],
) -> Step:
    """What to do with a request that is due.

    Parameters
    ----------
    request
        The request.
    run
        The last run of its thread.
    now
        Unix seconds.
    recheck, deaths
        As in `Settings`.
    is_cancelled
        Whether somebody has asked to cancel it.
    waiting
        The questions that wait on its thread, as its checkpoint has them.
    """
    if run is None or run.run_id != request.run_id:
        return Look(None)  # deleted, or given up for another run
    if run.status == "running":
        return Look(now + recheck)
    asked = request.wanted or {}
    is_new = asked.get("resumes") == run.resumes
    if run.status == "queued":
        return _go(asked, None)
    if run.status == "stopped" or _lost_its_database(run):
        if is_cancelled():
            return Cancel()
        died = run.finished_at is None
        if died and request.deaths + 1 >= deaths:
            return GiveUp()
        # An answer that was handed over and not committed is asked for again under the same id.
        answers = _answers(asked.get("answers"), waiting())
        return _go(asked, answers, died=died)
    if run.status == "interrupted":
        if asked and is_new:
            return _go(asked, asked.get("answers"))
        at = deadline(run.interrupts)
        return Go() if at is not None and at <= now else Look(at)
    if run.status == "failed" and asked and is_new:
        return _go(asked, _answers(asked.get("answers"), waiting()))
    return Look(None)


def _lost_its_database(run: RunRecord) -> bool:
    """Whether a run failed because its database was away, and no node of it; it could be recorded afterwards."""
    error = run.error or {}
    return run.status == "failed" and error.get("type") == "DatabaseUnavailable" and error.get("node") is None


def _answers(given: Any, waiting: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    asked = {str(question["id"]) for question in waiting}
    found = {key: value for key, value in (given or {}).items() if key in asked}
    return found or None


def _go(asked: Mapping[str, Any], value: Any, *, died: bool = False) -> Go:
    return Go(value, bool(asked.get("accept_changes")), asked.get("budget"), died)
