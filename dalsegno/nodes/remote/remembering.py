"""The task that an execution has at an agent, kept in the run's ledger: whoever goes on with the run finds it again."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from dalsegno.nodes.execution import Execution, RunContext, current_execution
from dalsegno.nodes.remote.request import Asked

_GIVEN: WeakKeyDictionary[RunContext, set[tuple[str, str]]] = WeakKeyDictionary()
"""The tasks whose answers this process has had, by their request: an attempt after that wants another answer."""


class Remembered:
    """The tasks of one request at one agent, the last one last; nothing is kept outside of a run.

    Other agents' tasks, as of a skill that several have, are theirs: two may give the same name to different tasks.
    """

    def __init__(self, asked: Asked) -> None:
        execution = current_execution()
        self._execution: Execution | None = execution
        self._context: RunContext | None = execution.context if execution is not None else None
        self._key = asked.headers.get("Idempotency-Key", "")
        self._agent = asked.name
        self._count = 0

    async def last(self) -> str | None:
        """The last task that was kept."""
        context = self._context
        return None if context is None else await asyncio.to_thread(self._last, context)

    async def keep(self, task_id: str) -> None:
        """Keep a task, before anything else is heard of it."""
        await self._put(task_id)

    async def forget(self) -> None:
        """The last task's answer is none: whoever goes on asks again."""
        if await self.last() is not None:
            await self._put(None)

    def give(self, task_id: str) -> None:
        """Its answer is about to be given."""
        if self._context is not None:
            _GIVEN.setdefault(self._context, set()).add((self._key, task_id))

    def was_given(self, task_id: str) -> bool:
        """Whether an attempt before, in this process, had its answer."""
        return self._context is not None and (self._key, task_id) in _GIVEN.get(self._context, ())

    async def _put(self, task_id: str | None) -> None:
        context, execution = self._context, self._execution
        if context is None or execution is None or execution.is_given_up:
            return
        self._count += 1
        name, value = f"a2a task {self._count}", {"agent": self._agent, "task": task_id}
        await asyncio.to_thread(
            context.effects.effect_put, context.run_id, context.thread, self._key, name, value
        )

    def _last(self, context: RunContext) -> str | None:
        task: str | None = None
        while True:
            found, value = context.effects.effect_get(self._key, f"a2a task {self._count + 1}")
            if not found:
                return task
            self._count += 1
            told: dict[str, Any] = value if isinstance(value, dict) else {"agent": self._agent, "task": value}
            if told["agent"] == self._agent:
                task = told["task"]
