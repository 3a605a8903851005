"""What a run gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dalsegno.checkpoints.records import Status
from dalsegno.errors import RunFailed, as_typed


@dataclass(frozen=True)
class RunResult:
    """How a run ended, or why it pauses.

    Parameters
    ----------
    run_id, thread, workflow
        The id of the run, its thread, and the name of its workflow.
    status
        ``completed``, ``failed``, ``interrupted`` (waits for a human), ``stopped`` (drained or
        signalled: resumable) or ``cancelled``.
    output
        The output keys of the state if the run is completed or interrupted, else None. If the state has no keys, all
        of it.
    error
        ``type``, ``message``, ``node``, ``attempt`` and ``traceback`` of the failure, else None.
    interrupts
        ``id``, ``node``, ``value`` and ``schema`` of each question that waits for an answer.
    supersteps
        The supersteps so far, counted as in the certificate: a subworkflow counts 1 plus its own.
    usage
        What the run used in all its processes: ``executions``, ``seconds``, ``model_calls``, ``tokens``, ``cost`` (if
        prices are known), ``by_node``, its ``budget``, and in ``policies`` how often each node's policies did what.
        Executions are counted as in the certificate: one that failed, waited or was repeated after a crash counts
        once, when it is done.
    resumed_from
        The checkpoint from which this process continued; None if it began the run.
    """

    run_id: str
    thread: str
    workflow: str
    status: Status
    output: Any = None
    error: Mapping[str, Any] | None = None
    interrupts: tuple[Mapping[str, Any], ...] = ()
    supersteps: int = 0
    usage: Mapping[str, Any] = field(default_factory=dict)
    resumed_from: str | None = None

    def raise_for_status(self) -> RunResult:
        """Return the result if the run is completed, raise otherwise.

        Raises
        ------
        RunFailed
            The run failed, waits for a human or was stopped. The message says how to go on.
        """
        if self.status == "completed":
            return self
        raise RunFailed(
            f"Run {self.run_id} of `{self.workflow}` on thread {self.thread!r} {self.in_words()}",
            run_id=self.run_id,
            status=self.status,
            error=dict(self.error) if self.error else None,
        )

    def in_words(self) -> str:
        """How it stands, and how to go on."""
        again = f"go on with `dalsegno resume {as_typed(self.thread)}` or `Runner.resume({self.thread!r})`."
        if self.status == "failed" and self.error:
            node = f" in `{self.error['node']}`" if self.error.get("node") else ""
            said = ": ".join(filter(None, (self.error["type"], self.error["message"].strip())))
            stop = "" if said.endswith((".", "!", "?")) else "."
            return f"failed{node}: {said}{stop} Mend the cause, then {again}"
        if self.status == "interrupted":
            asked = "; ".join(f"`{i['node']}` asks {i['value']!r}" for i in self.interrupts)
            return f"waits for a human: {asked or 'at a breakpoint'}. Answer and {again}"
        if self.status in ("completed", "cancelled"):
            return f"is {self.status}."
        return f"is {self.status}: {again}"

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `run` and `resume`; the traceback stays in the ledger."""
        error = None
        if self.error is not None:
            error = {key: self.error.get(key) for key in ("type", "message", "node", "attempt")}
        return {
            "run_id": self.run_id,
            "thread": self.thread,
            "workflow": self.workflow,
            "status": self.status,
            "output": self.output,
            "error": error,
            "interrupts": [dict(i) for i in self.interrupts],
            "supersteps": self.supersteps,
            "usage": dict(self.usage),
            "resumed_from": self.resumed_from,
        }
