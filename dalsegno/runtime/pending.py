"""What is pending on a thread: decided by its tasks, never by `next` being empty.

When a superstep's writes are saved and its checkpoint is not, LangGraph's `next` is empty and work
remains; the tasks are still there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dalsegno.graphs.renaming import today
from dalsegno.runtime.answering import schema_json


@dataclass(frozen=True)
class Pending:
    """The state of a thread between two of its processes.

    `tasks` are the pending nodes; `interrupts` the questions that wait (id, node, value, schema);
    `run_id` whose checkpoint it is; `checkpoint_id` its id, None where the thread has none; `values`
    the state with the kernel's key.
    """

    tasks: tuple[str, ...]
    interrupts: tuple[Mapping[str, Any], ...]
    errors: tuple[tuple[str, str], ...]
    run_id: str | None
    checkpoint_id: str | None
    values: Mapping[str, Any]
    step: int

    @staticmethod
    def of(snapshot: Any, names: Mapping[str, str] | None = None) -> Pending:
        """Read LangGraph's `StateSnapshot`; `names` maps node names in it to those to tell."""
        metadata = snapshot.metadata or {}
        names = names or {}
        interrupts = tuple(
            {
                "id": i.id,
                "node": today(task.name, names),
                "value": i.value,
                "schema": schema_json(getattr(i, "response_schema", None)),
            }
            for task in snapshot.tasks
            for i in task.interrupts
        )
        return Pending(
            tasks=tuple(today(task.name, names) for task in snapshot.tasks),
            interrupts=interrupts,
            errors=tuple((today(t.name, names), str(t.error)) for t in snapshot.tasks if t.error),
            run_id=metadata.get("run_id"),
            checkpoint_id=snapshot.config["configurable"].get("checkpoint_id"),
            values=snapshot.values if isinstance(snapshot.values, Mapping) else {},
            step=metadata.get("step", -2),
        )
