"""The task that an execution has at an agent, kept in the run's ledger: whoever goes on with the run finds it again."""

from __future__ import annotations

import asyncio

from dalsegno.nodes.execution import Execution, RunContext, current_execution
from dalsegno.nodes.remote.request import Asked


class Remembered:
    """The tasks of one request, the last one last; nothing is kept outside of a run."""

    def __init__(self, asked: Asked) -> None:
        execution = current_execution()
        self._execution: Execution | None = execution
        self._context: RunContext | None = execution.context if execution is not None else None
        self._key = asked.headers.get("Idempotency-Key", "")
        self._count = 0

    @property
    def is_first_attempt(self) -> bool:
        """Whether this process has not tried before: what was completed then is an answer that nobody has seen."""
        return self._execution is not None and self._execution.attempt == 1

    async def last(self) -> str | None:
        """The last task that was kept."""
        context = self._context
        return None if context is None else await asyncio.to_thread(self._last, context)

    async def keep(self, task_id: str) -> None:
        """Keep a task, before anything else is heard of it."""
        context, execution = self._context, self._execution
        if context is None or execution is None or execution.is_given_up:
            return
        self._count += 1
        name = f"a2a task {self._count}"
        await asyncio.to_thread(
            context.effects.effect_put, context.run_id, context.thread, self._key, name, task_id
        )

    def _last(self, context: RunContext) -> str | None:
        task: str | None = None
        while True:
            found, value = context.effects.effect_get(self._key, f"a2a task {self._count + 1}")
            if not found:
                return task
            task, self._count = value, self._count + 1
