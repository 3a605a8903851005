"""What the service can be asked, below HTTP: start, resume, cancel, look at runs."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence

from dalsegno.checkpoints import Ledger, RunRecord, open_checkpointer
from dalsegno.checkpoints.interventions import cancel
from dalsegno.checkpoints.lease import this_process
from dalsegno.checkpoints.opening import open_database
from dalsegno.checkpoints.requests import Request, Requests
from dalsegno.errors import DalsegnoError, DefinitionError, UnknownRun, did_you_mean
from dalsegno.graphs.loading import LoadedTarget
from dalsegno.runtime import Runner
from dalsegno.runtime.events import Listener
from dalsegno.service.accepting import accept, last_of_its_thread, want
from dalsegno.service.dispatching import Dispatcher
from dalsegno.service.models import ResumeRun, StartRun
from dalsegno.service.problems import refused
from dalsegno.service.settings import Settings
from dalsegno.service.watching import ENDED, Watchers

_ID = re.compile(r"[0-9a-f]{32}")


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
        self._clock = clock
        self.checkpointer = open_checkpointer(db)
        self.runners: dict[str, Runner] = {}
        self.targets: dict[str, LoadedTarget] = {}
        for loaded in targets:
            runner = Runner(
                loaded.graph, self.checkpointer, target=loaded.target, on_event=(*on_event, self.watchers)
            )
            name = runner.spec.name
            if name in self.runners:
                raise DefinitionError(
                    f"`{loaded.target}` and `{self.targets[name].target}` are both named `{name}`, and a run is "
                    "started by that name. Rename one, or serve it elsewhere."
                )
            if "/" in name or name in (".", "..") or not name.isprintable() or len(name) > 255:
                raise DefinitionError(
                    f"Workflow {name!r} cannot be served: its name is a part of an address, so it has no slash, no "
                    "control character, at most 255 characters, and is not `.` or `..`."
                )
            self.runners[name], self.targets[name] = runner, loaded
        # What is only read has a connection of its own, which waits for no commit of a run.
        self._reading = open_database(db)
        self.kept = open_checkpointer(self._reading, serde=self.checkpointer.serde)
        self.ledger = Ledger(self._reading, self.checkpointer.serde)
        self._seen = Requests(self.ledger, self.settings.name)
        writing = Ledger(self.checkpointer.database, self.checkpointer.serde)
        self._requests = Requests(writing, self.settings.name)
        self._ledger = writing
        self.dispatcher = Dispatcher(self.runners, writing, self._requests, self.settings, clock=clock)

    # --- asking ---

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
        self._refuse_while_draining()
        found = accept(
            runner, self._ledger, self._requests, asked, client=client, key=key, settings=self.settings,
            now=self._clock(),
        )  # fmt: skip
        self.dispatcher.poke()
        return found

    def resume(self, run_id: str, asked: ResumeRun, *, client: str) -> None:
        """Have a run gone on with: after a failure, or with an answer that was checked to fit.

        Raises
        ------
        UnknownRun, NothingToResume, InputInvalid
            As `Runner.resume`.
        RequestRefused
            The service stops, the run asks nothing, or an answer to it waits already.
        """
        self._refuse_while_draining()
        run = self.run(run_id)
        want(
            self.runner(run.workflow),
            self._ledger,
            self._requests,
            run,
            asked,
            client=client,
            now=self._clock(),
        )
        self.dispatcher.poke()

    def _refuse_while_draining(self) -> None:
        if self.is_draining:
            raise refused(
                503, "draining", "The service is stopping; ask the one that takes over.", retry_after=5
            )

    def cancel(self, run_id: str) -> str:
        """Cancel a run: ``"cancelled"``, or ``"asked"`` where a process runs it.

        Raises
        ------
        UnknownRun, NothingToResume
            As `Runner.cancel`.
        """
        run, me = self.run(run_id), this_process()
        with self._ledger.database.transaction():
            last_of_its_thread(self._ledger, run)
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
        """A run by its whole id. Raises UnknownRun, which tells of no other run, and not where runs are kept."""
        found = self.ledger.one(run_id, plain=True) if _ID.fullmatch(run_id) else None
        if found is None:
            raise UnknownRun(
                f"There is no run `{run_id}`; `GET /v1/runs` lists those there are.", run_id=run_id
            )
        return found

    def request(self, run_id: str) -> Request | None:
        """What is still to be done with a run that was asked for here."""
        return self._seen.of(run_id)

    def stands(self, run_id: str) -> tuple[str, bool]:
        """How a run stands, and whether no more will come of it: it has ended, or its thread has a later one."""
        run = self.run(run_id)
        if run.status in ENDED or run.status == "running":
            return run.status, run.status in ENDED
        latest = self.ledger.latest(run.thread, plain=True)
        return run.status, latest is None or latest.run_id != run_id

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

    @property
    def is_draining(self) -> bool:
        """Whether nothing more is accepted: it stops."""
        return self.dispatcher.is_draining

    def open(self) -> None:
        """Begin to take runs, first of all those whose process died."""
        self.dispatcher.start()

    def drain(self) -> int:
        """Accept and take nothing more, and let every superstep end; gives how many runs did not stop in time."""
        return self.dispatcher.drain(self.settings.grace)

    def close(self) -> None:
        """Close the database."""
        self._reading.close()
        self.checkpointer.close()
