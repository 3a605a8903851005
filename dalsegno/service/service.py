"""What the service can be asked, below HTTP: start, resume, cancel, look at runs."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dalsegno.checkpoints import Ledger, RunRecord, open_checkpointer
from dalsegno.checkpoints.interventions import cancel
from dalsegno.checkpoints.lease import this_process
from dalsegno.checkpoints.opening import open_database
from dalsegno.checkpoints.requests import Request, Requests
from dalsegno.errors import DalsegnoError, DefinitionError, NothingToResume, UnknownRun, did_you_mean
from dalsegno.graphs.loading import LoadedTarget
from dalsegno.nodes.policies import Budget
from dalsegno.runtime import Runner, queueing
from dalsegno.runtime.answering import answers
from dalsegno.runtime.events import Listener
from dalsegno.service.dispatching import Dispatcher
from dalsegno.service.models import BudgetOf, ResumeRun, StartRun
from dalsegno.service.problems import refused
from dalsegno.service.settings import Settings
from dalsegno.service.watching import Watchers


class Service:
    """The workflows that are served, and the runs of them in one database.

    Everything here may be called from any thread, and blocks; what is `async` is for the event loop.

    Parameters
    ----------
    targets
        What is served, each under its workflow's name.
    db
        The database: a path, ``sqlite:///path`` or ``postgresql://…``.
    settings
        The limits.
    on_event
        Listeners of the runs.
    clock
        Unix seconds.

    Raises
    ------
    WorkflowInvalid
        The check found errors in a workflow.
    DefinitionError
        Two workflows have one name, or a name that no address can have.
    """

    def __init__(
        self,
        targets: Sequence[LoadedTarget],
        db: str | os.PathLike[str],
        settings: Settings | None = None,
        *,
        on_event: tuple[Listener, ...] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.db = db
        self.settings = settings or Settings()
        self.watchers = Watchers()
        self.is_draining = False
        self._clock = clock
        self._checkpointer = open_checkpointer(db)
        self.runners: dict[str, Runner] = {}
        self.targets: dict[str, LoadedTarget] = {}
        for loaded in targets:
            runner = Runner(
                loaded.graph, self._checkpointer, target=loaded.target, on_event=(*on_event, self.watchers)
            )
            name = runner.spec.name
            if name in self.runners:
                raise DefinitionError(
                    f"`{loaded.target}` and `{self.targets[name].target}` are both named `{name}`, and a run is "
                    "started by that name. Rename one, or serve it elsewhere."
                )
            if "/" in name or not name.isprintable() or len(name) > 255:
                raise DefinitionError(
                    f"Workflow {name!r} cannot be served: its name is a part of an address, so it has no slash, no "
                    "control character, and at most 255 characters."
                )
            self.runners[name], self.targets[name] = runner, loaded
        # What is only read has a connection of its own, which waits for no commit of a run.
        self._reading = open_database(db)
        self.ledger = Ledger(self._reading, self._checkpointer.serde)
        self._seen = Requests(self.ledger, self.settings.name)
        writing = Ledger(self._checkpointer.database, self._checkpointer.serde)
        self._requests = Requests(writing, self.settings.name)
        self._ledger = writing
        self.dispatcher = Dispatcher(self.runners, writing, self._requests, self.settings, clock=clock)

    # --- starting ---

    def start(self, asked: StartRun, *, client: str, key: str | None = None) -> tuple[str, bool]:
        """Accept a run: it is in the database when this returns. Gives its id, and whether it is a new one.

        The same request under the same `key`, or without one for the same thread, gives the run that is there.

        Raises
        ------
        RequestRefused
            The service stops, or has too much to do already; the key was used for another request.
        InputInvalid, ThreadBusy, ThreadUnfinished
            As `Runner.run`.
        """
        runner = self.runner(asked.workflow, field="body.workflow")
        digest = _digest(asked.model_dump(exclude_none=True))
        with self._ledger.database.transaction():
            self._ledger.database.lock(f"requests of {self.settings.name} by {client}")
            found = self._same(asked, digest, client, key)
            if found is not None:
                return found, False
            self._room(client)
            latest = self._ledger.latest(asked.thread, plain=True) if asked.thread else None
            if latest is not None and latest.workflow != runner.spec.name:
                raise refused(
                    409,
                    "other-workflow",
                    f"Thread {asked.thread!r} is one of workflow `{latest.workflow}`. Name another thread.",
                    field="body.thread",
                )
            thread = asked.thread or uuid.uuid4().hex
            run_id = queueing.enqueue(
                runner, asked.input, thread, budget=_budget(asked.budget), abandon=asked.abandon
            )
            self._requests.add(
                Request(
                    run_id=run_id,
                    thread=thread,
                    workflow=runner.spec.name,
                    client=client,
                    digest=digest,
                    key=key,
                    due=self._clock(),
                    context=asked.context,
                )
            )
        self.dispatcher.poke()
        return run_id, True

    def _same(self, asked: StartRun, digest: str, client: str, key: str | None) -> str | None:
        if key is not None:
            found = self._requests.of_key(client, key)
            if found is not None and found.digest != digest:
                raise refused(
                    409,
                    "key-reused",
                    f"The key {key!r} was used for another request already, which started run {found.run_id}. Use a "
                    "new key for a new request.",
                    field="header.Idempotency-Key",
                )
            return found.run_id if found is not None else None
        latest = self._ledger.latest(asked.thread, plain=True) if asked.thread else None
        found = self._requests.of(latest.run_id) if latest is not None else None
        same = found is not None and (found.digest, found.client, found.key) == (digest, client, None)
        return found.run_id if same and found is not None else None

    def _room(self, client: str) -> None:
        if self.is_draining:
            raise refused(
                503, "draining", "The service is stopping; ask the one that takes over.", retry_after=5
            )
        if self._requests.unfinished(client) >= self.settings.client_runs:
            raise refused(
                429,
                "too-many-runs",
                f"You have {self.settings.client_runs} runs queued or in progress, and that is the limit. Come back "
                "when one of them has ended.",
                retry_after=5,
            )
        if self._requests.queued() >= self.settings.queue:
            raise refused(
                503,
                "queue-full",
                f"{self.settings.queue} runs wait already. Come back later.",
                retry_after=10,
            )

    # --- going on ---

    def resume(self, run_id: str, asked: ResumeRun, *, client: str) -> None:
        """Have a run gone on with: after a failure, or with an answer that was checked to fit.

        Raises
        ------
        UnknownRun, NothingToResume, InputInvalid
            As `Runner.resume`.
        RequestRefused
            The service stops, the run is in progress, or an answer to it waits already.
        """
        if self.is_draining:
            raise refused(
                503, "draining", "The service is stopping; ask the one that takes over.", retry_after=5
            )
        with self._ledger.database.transaction():
            run = self.run(run_id)
            self._ledger.database.lock(run.thread)
            run = self._ledger.get(run_id, plain=True)
            runner = self.runner(run.workflow)
            latest = self._ledger.latest(run.thread, plain=True)
            if latest is None or latest.run_id != run_id or run.status in ("completed", "cancelled"):
                why = (
                    run.status
                    if run.status in ("completed", "cancelled")
                    else "not the last one of its thread"
                )
                raise NothingToResume(
                    f"Run {run_id} is {why}: there is nothing to go on with.", thread=run.thread
                )
            given = asked.answers if asked.answers is not None else asked.answer
            before = self._requests.of(run_id)
            known = dict(before.wanted) if before is not None and before.wanted else {}
            is_idle = run.status in ("failed", "interrupted")
            waiting = runner.pending(run.thread).interrupts if given is not None else ()
            if run.status == "running" or (given is not None and not (is_idle and waiting)):
                raise refused(409, "asks-nothing", f"Run {run_id} is {run.status}, and asks nothing now.")
            found = answers(waiting, given) if given is not None else None
            wanted = {
                "resumes": run.resumes,
                "answers": found,
                "accept_changes": asked.accept_changes,
                "budget": asked.budget.model_dump(exclude_none=True) if asked.budget else None,
            }
            if known and known.get("resumes") == run.resumes and is_idle:
                if known == wanted:
                    return
                raise refused(
                    409,
                    "answered-already",
                    f"Somebody has resumed run {run_id} already; it is about to go on.",
                )
            self._requests.want(
                Request(
                    run_id=run_id,
                    thread=run.thread,
                    workflow=run.workflow,
                    client=before.client if before is not None else client,
                    digest=before.digest if before is not None else "",
                    due=self._clock(),
                    wanted=wanted,
                )
            )
        self.dispatcher.poke()

    def cancel(self, run_id: str) -> str:
        """Cancel a run: ``"cancelled"``, or ``"asked"`` where a process runs it.

        Raises
        ------
        UnknownRun, NothingToResume
            As `Runner.cancel`.
        """
        run = self.run(run_id)
        latest = self._ledger.latest(run.thread, plain=True)
        if latest is None or latest.run_id != run_id:
            raise NothingToResume(f"Run {run_id} is not the last one of its thread.", thread=run.thread)
        me = this_process()
        done = cancel(self._ledger, run.thread, by=f"process {me.pid} on {me.host}")
        self.watchers.tell(run_id)
        return done

    # --- looking ---

    def runner(self, workflow: str, *, field: str | None = None) -> Runner:
        """What runs a workflow.

        Raises
        ------
        RequestRefused
            There is none of that name.
        """
        found = self.runners.get(workflow)
        if found is None:
            hint = (
                did_you_mean(workflow, self.runners)
                or f"; there is {', '.join(f'`{n}`' for n in self.runners)}."
            )
            raise refused(404, "unknown-workflow", f"No workflow `{workflow}` is served{hint}", field=field)
        return found

    def run(self, run_id: str) -> RunRecord:
        """A run by its whole id. Raises UnknownRun."""
        if len(run_id) != 32:
            raise UnknownRun(f"There is no run `{run_id}`: an id has 32 characters.", run_id=run_id)
        return self.ledger.get(run_id, plain=True)

    def request(self, run_id: str) -> Request | None:
        """What is still to be done with a run that was asked for here."""
        return self._seen.of(run_id)

    async def status(self, run_id: str) -> str:
        """How a run stands."""
        return (await asyncio.to_thread(self.run, run_id)).status

    def queued(self) -> int:
        """How many runs wait."""
        return self._seen.queued()

    def checks(self) -> dict[str, str]:
        """Whether runs can be accepted: what was looked at, and ``"ok"`` or what is wrong."""
        found = {"draining": "the service is stopping" if self.is_draining else "ok"}
        found["dispatcher"] = "ok" if self.dispatcher.is_alive or self.is_draining else "it takes no runs"
        try:
            self._requests.try_to_write()
            found["database"] = "ok"
        except DalsegnoError as error:
            found["database"] = f"cannot be written ({type(error).__name__})"
        return found

    # --- living ---

    def open(self) -> None:
        """Begin to take runs, first of all those whose process died."""
        self.dispatcher.start()

    def drain(self) -> int:
        """Accept and take nothing more, and let every superstep end; gives how many runs did not stop in time."""
        self.is_draining = True
        return self.dispatcher.drain(self.settings.grace)

    def close(self) -> None:
        """Close the database."""
        self._reading.close()
        self._checkpointer.close()


def _digest(asked: Mapping[str, Any]) -> str:
    text = json.dumps(asked, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _budget(asked: BudgetOf | None) -> Budget | None:
    return Budget(**asked.model_dump(exclude_none=True)) if asked is not None else None
