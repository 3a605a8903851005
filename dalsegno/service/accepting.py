"""What is accepted: a new run, or what one is to go on with; in the database before anybody is told so."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from dalsegno.checkpoints import Ledger, RunRecord
from dalsegno.checkpoints.requests import Request, Requests
from dalsegno.errors import InputInvalid, NothingToResume, RequestRefused, ThreadUnfinished
from dalsegno.nodes.policies import Budget
from dalsegno.nodes.secrets import Secrets
from dalsegno.runtime import Runner, queueing
from dalsegno.runtime.answering import answers
from dalsegno.runtime.contexts import fitting_context
from dalsegno.service.models import ResumeRun, StartRun
from dalsegno.service.problems import refused
from dalsegno.service.settings import Settings

_ABANDON = '`"abandon": true`'

_IDLE = ("failed", "interrupted")
"""What a run is that goes on only when somebody says so."""


def accept(
    runner: Runner,
    ledger: Ledger,
    requests: Requests,
    asked: StartRun,
    *,
    client: str,
    key: str | None,
    settings: Settings,
    now: float,
) -> tuple[str, bool]:
    """Record a run and its request in one commit; gives the run's id, and whether it is a new one.

    Raises
    ------
    RequestRefused
        There is too much to do already, the key was used for another request, the thread is another workflow's.
    InputInvalid, ThreadBusy, ThreadUnfinished
        As `Runner.run`.
    """
    digest = _digest(asked.model_dump(exclude_none=True))
    with ledger.database.transaction():
        ledger.database.lock(f"requests of {settings.name} by {client}")
        if asked.thread:  # or two clients begin it, and the run of one of them is nobody's
            ledger.database.lock(asked.thread)
        latest = ledger.latest(asked.thread, plain=True) if asked.thread else None
        found = (
            _of_key(requests, digest, client, key) if key else _of_thread(requests, digest, client, latest)
        )
        if found is not None:
            return found, False
        _room(requests, client, settings)
        if latest is not None and latest.workflow != runner.spec.name:
            raise refused(
                409,
                "other-workflow",
                f"Thread {asked.thread!r} is one of workflow `{latest.workflow}`. Name another thread.",
                field="body.thread",
            )
        if latest is not None and not asked.abandon:
            _refuse_before_its_end(requests, latest)
        try:
            fitting_context(runner, asked.context)
        except InputInvalid as error:
            raise refused(422, "input-invalid", str(error), field="body.context") from error
        thread = asked.thread or uuid.uuid4().hex
        budget = Budget(**asked.budget.model_dump(exclude_none=True)) if asked.budget else None
        try:
            run_id = queueing.enqueue(runner, asked.input, thread, budget=budget, abandon=asked.abandon)
        except ThreadUnfinished as error:
            raise _unfinished(thread, latest) from error
        requests.add(
            Request(
                run_id=run_id,
                thread=thread,
                workflow=runner.spec.name,
                client=client,
                digest=digest,
                key=key,
                due=now,
                context=asked.context,
            )
        )
    return run_id, True


def want(
    runner: Runner,
    ledger: Ledger,
    requests: Requests,
    run: RunRecord,
    asked: ResumeRun,
    *,
    client: str,
    now: float,
) -> None:
    """Record what a run is to go on with; asked twice for the same it is recorded once.

    Raises
    ------
    NothingToResume
        It is over, or is not the last one of its thread.
    InputInvalid
        An answer does not fit its question.
    RequestRefused
        It asks nothing now, or somebody has answered it already.
    """
    with ledger.database.transaction():
        run = last_of_its_thread(ledger, run)
        if run.status in ("completed", "cancelled"):
            raise NothingToResume(
                f"Run {run.run_id} is {run.status}: there is nothing to go on with. `POST /v1/runs` starts "
                "another one.",
                thread=run.thread,
            )
        if run.status == "running":
            raise _asks_nothing(run)
        answered = _answered(runner, run, asked)
        before = requests.of(run.run_id)
        known = dict(before.wanted or {}) if before is not None else {}
        is_new = known.get("resumes") == run.resumes
        # What a process could not go on with, or died over, is asked for anew; what was answered then is still the
        # answer.
        is_refused = before is not None and before.problem is not None
        kept = known if run.status == "stopped" or (is_refused and is_new) else {}
        wanted = {
            "resumes": run.resumes,
            "answers": kept.get("answers") if answered is None else answered,
            "accept_changes": asked.accept_changes,
            "budget": asked.budget.model_dump(exclude_none=True) if asked.budget else kept.get("budget"),
        }
        if known and is_new and run.status in _IDLE and not is_refused:
            if known == wanted:
                return
            raise refused(
                409,
                "answered-already",
                f"Somebody has resumed run {run.run_id} already; it is about to go on.",
            )
        requests.want(
            Request(
                run_id=run.run_id,
                thread=run.thread,
                workflow=run.workflow,
                client=before.client if before is not None else client,
                digest=before.digest if before is not None else "",
                due=now,
                wanted=wanted,
            )
        )


def _answered(runner: Runner, run: RunRecord, asked: ResumeRun) -> dict[str, Any] | None:
    """What was answered, by the ids of the questions that the run waits for; None where nothing was.

    Raises
    ------
    InputInvalid
        An answer does not fit its question.
    RequestRefused
        The run asks nothing now.
    """
    # Null is an answer, where it fits.
    if asked.answers is None and asked.answer is None and "answer" not in asked.model_fields_set:
        return None
    pending = runner.pending(run.thread)
    if run.status not in _IDLE or not pending.interrupts:
        raise _asks_nothing(run)
    return _answers(pending.interrupts, asked, pending.secrets(runner.schemas, run.input))


def _asks_nothing(run: RunRecord) -> RequestRefused:
    way = (
        "Resume it without an answer"
        if run.status in (*_IDLE, "stopped")
        else f"Wait until it asks or ends ({_waited_for(run)})"
    )
    return refused(409, "asks-nothing", f"Run {run.run_id} is {run.status}, and asks nothing now. {way}.")


def _answers(waiting: Sequence[Mapping[str, Any]], asked: ResumeRun, secrets: Secrets) -> dict[str, Any]:
    """What was answered, by the ids of the questions; `answers` may name no other, or they would be one answer."""
    if asked.answers is None:
        return answers(waiting, asked.answer, secrets)
    ids = [str(question["id"]) for question in waiting]
    wrong = next((given for given in asked.answers if given not in ids), None)
    if wrong is not None or not asked.answers:
        words = ", ".join(f"{question['id']} (`{question['node']}`)" for question in waiting)
        said = "No question is answered" if wrong is None else f"No question `{wrong[:80]}` waits"
        raise InputInvalid(f"{said}; there is {words}.", key=wrong, expected="answers by id")
    return answers(waiting, asked.answers, secrets)


def last_of_its_thread(ledger: Ledger, run: RunRecord) -> RunRecord:
    """Inside a transaction: a run as it stands now, and stands until the end of that.

    Raises
    ------
    NothingToResume
        Its thread has a later one.
    """
    ledger.database.lock(run.thread)
    latest = ledger.latest(run.thread, plain=True)
    if latest is None or latest.run_id != run.run_id:
        last = f"; that is run {latest.run_id}" if latest is not None else ""
        raise NothingToResume(f"Run {run.run_id} is not the last one of its thread{last}.", thread=run.thread)
    return latest


def _of_key(requests: Requests, digest: str, client: str, key: str) -> str | None:
    """The run that was started under a key."""
    found = requests.of_key(client, key)
    if found is not None and found.digest != digest:
        raise refused(
            409,
            "key-reused",
            f"The key {key!r} was used for another request already, which started run {found.run_id}. Use a new key "
            "for a new request.",
            field="header.Idempotency-Key",
        )
    return found.run_id if found is not None else None


def _of_thread(requests: Requests, digest: str, client: str, latest: RunRecord | None) -> str | None:
    """The last run of a thread, if the same request without a key started it."""
    found = requests.of(latest.run_id) if latest is not None else None
    is_same = found is not None and (found.digest, found.client, found.key) == (digest, client, None)
    return found.run_id if is_same and found is not None else None


def _refuse_before_its_end(requests: Requests, run: RunRecord) -> None:
    """Refuse new input while a run goes on by itself, also where a killed process has left nothing to do but to record
    its end: nobody else ever would."""
    known = requests.of(run.run_id)
    if run.status == "stopped" and known is not None and known.due is not None:
        raise ThreadUnfinished(
            f"Run {run.run_id} on thread {run.thread!r} stopped, and is about to go on. Wait until it ends "
            f"({_waited_for(run)}), or give it up with {_ABANDON}.",
            thread=run.thread,
        )


def _unfinished(thread: str, latest: RunRecord | None) -> ThreadUnfinished:
    """What keeps new input from a thread, in words for a client: of the database and of other ways to it, it may know
    nothing."""
    if latest is None or latest.status in ("completed", "cancelled"):
        what = f"Thread {thread!r} has work pending that is no run's: its checkpoints were imported or set by hand"
        way = "Name another thread"
    else:
        what = f"Run {latest.run_id} on thread {thread!r} is {latest.status}, and has work pending"
        verb = "Answer it" if latest.status == "interrupted" else "Go on with it"
        way = f"{verb} (`POST /v1/runs/{latest.run_id}/resume`)"
        if latest.status == "queued":
            way = f"Wait until it ends ({_waited_for(latest)})"
    return ThreadUnfinished(
        f"{what}; new input would drop that work. {way}, or give it up with {_ABANDON}.", thread=thread
    )


def _waited_for(run: RunRecord) -> str:
    return f"`GET /v1/runs/{run.run_id}?wait=60`"


def _room(requests: Requests, client: str, settings: Settings) -> None:
    if requests.unfinished(client) >= settings.client_runs:
        raise refused(
            429,
            "too-many-runs",
            f"You have {settings.client_runs} runs queued or in progress, and that is the limit. Come back when one of "
            "them has ended.",
            retry_after=5,
        )
    if requests.queued() >= settings.queue:
        raise refused(
            503, "queue-full", f"{settings.queue} runs wait already. Come back later.", retry_after=10
        )


def _digest(asked: Mapping[str, Any]) -> str:
    text = json.dumps(asked, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
