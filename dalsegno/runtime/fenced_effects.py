"""Results of effects in a run, kept by whoever still goes on with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dalsegno.checkpoints.interventions import holds
from dalsegno.errors import Fenced, KernelError, NotSerializable
from dalsegno.nodes.execution import current_execution

if TYPE_CHECKING:
    from dalsegno.runtime.session import Session


class FencedEffects:
    """The ledger's effects, recorded only by an attempt that is still going on in a process that holds the thread.

    What is given up meanwhile (the thread was taken over by another process, the attempt timed out and another
    has begun) may have done its effect, and records nothing: the other attempt's word stands.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def effect_get(self, key: str, name: str) -> tuple[bool, Any]:
        return self._session.ledger.effect_get(key, name)

    def effect_put(self, run_id: str, thread: str, key: str, name: str, value: Any) -> None:
        session = self._session
        execution = current_execution()
        if execution is not None and execution.context is session and not session.is_live(execution):
            raise KernelError(
                f"Attempt {execution.attempt} of `{execution.node}` was given up, so the result of its effect "
                f'"{name}" is not recorded. What it did to the world, it did: look the request up at the receiver '
                f"under the key {key}."
            )
        with session.ledger.database.transaction():
            session.ledger.database.lock(thread)
            if not holds(session.ledger, thread, session.lease.token):
                raise Fenced(
                    f"Thread {thread!r} was taken over by another process: the result of the effect "
                    f'"{name}" is that one\'s to record, and is not recorded here.',
                    thread=thread,
                    holder=session.ledger.holder(thread),
                )
            try:
                session.ledger.effect_put(run_id, thread, key, name, value)
            except NotSerializable as error:
                raise NotSerializable(
                    f'The effect "{name}" was done, and its result cannot be recorded, so that a resume does it again: '
                    f"{error} Return plain data from it.",
                    thread=error.thread,
                    key=error.key,
                    type=error.type,
                ) from error
