"""Structured logs: a line for each event of a run, through structlog."""

from __future__ import annotations

from typing import Any

from dalsegno.observe.extras import wanted
from dalsegno.runtime.events import (
    CallFinished,
    CallStarted,
    Event,
    NodeFailed,
    NodeFinished,
    NodeInterrupted,
    NodeStarted,
    PolicyActed,
    RunFinished,
    RunStarted,
)


class Logs:
    """A listener that writes each event of a run as a structured line.

    Parameters
    ----------
    logger
        A structlog logger; the one of the name ``dalsegno`` unless given. How it looks and where it goes is
        structlog's configuration.

    Starts of nodes and calls are ``debug``, what a policy does and a failed node ``warning``, a failed run ``error``,
    all else ``info``. What a state, a prompt or an answer contains is never written.

    Raises
    ------
    MissingExtra
        structlog is not installed.
    """

    def __init__(self, logger: Any = None) -> None:
        structlog = wanted("structlog", by="Logs", extra="logs")
        self._logger = logger if logger is not None else structlog.get_logger("dalsegno")

    def __call__(self, event: Event) -> None:
        said = _SAID.get(type(event))
        if said is None:
            return
        name, level = said
        facts: dict[str, Any] = {"run_id": event.run_id, "thread": event.thread, **_facts(event)}
        if isinstance(event, RunFinished):
            level = {"failed": "error", "completed": "info"}.get(event.status, "warning")
        getattr(self._logger, level)(name, **facts)


_SAID = {
    RunStarted: ("run.started", "info"),
    RunFinished: ("run.finished", "info"),
    NodeStarted: ("node.started", "debug"),
    NodeFinished: ("node.finished", "info"),
    NodeInterrupted: ("node.interrupted", "info"),
    NodeFailed: ("node.failed", "warning"),
    CallStarted: ("call.started", "debug"),
    CallFinished: ("call.finished", "info"),
    PolicyActed: ("policy.acted", "warning"),
}


def _facts(event: Event) -> dict[str, Any]:
    match event:
        case RunStarted():
            changes = [str(change) for change in event.changes]
            return {"workflow": event.workflow, "resumed": event.resumed, **_some(changes=changes)}
        case RunFinished():
            error = event.error or {}
            told = {key: error.get(key) for key in ("type", "message", "node", "attempt") if error}
            return {
                "workflow": event.workflow,
                "status": event.status,
                "seconds": _rounded(event.seconds),
                **_some(error=told),
            }
        case PolicyActed():
            return {
                "node": event.node,
                "superstep": event.superstep,
                "attempt": event.attempt,
                "policy": event.policy,
                "what": event.what,
                **_some(detail=dict(event.detail)),
            }
        case CallStarted():
            facts = {"node": event.node, event.kind: event.name, **_some(provider=event.provider)}
            if isinstance(event, CallFinished):
                facts["seconds"] = _rounded(event.seconds)
                facts |= _some(
                    input_tokens=event.input_tokens,
                    output_tokens=event.output_tokens,
                    error=event.error,
                    interrupted=event.interrupted,
                )
            return facts
        case NodeStarted():
            facts = {"node": event.node, "kind": event.kind, "superstep": event.superstep}
            facts |= {"attempt": event.attempt, **({} if event.index is None else {"index": event.index})}
            if isinstance(event, NodeFinished | NodeFailed | NodeInterrupted):
                facts["seconds"] = _rounded(event.seconds)
            if isinstance(event, NodeFinished):
                facts |= _some(to=[taken.target for taken in event.taken])
            if isinstance(event, NodeFailed):
                facts |= {"error": type(event.error).__name__, "message": event.message}
            return facts
    return {}


def _some(**facts: Any) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if value}


def _rounded(seconds: float) -> float:
    return round(seconds, 6)
