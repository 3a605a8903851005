"""What is pending on a thread: decided by its tasks, never by `next` being empty.

When a superstep's writes are saved and its checkpoint is not, LangGraph's `next` is empty and work
remains; the tasks are still there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dalsegno.errors import IncompatibleGraph, InputInvalid, did_you_mean

_TRIGGER = "branch:to:"


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
    def of(snapshot: Any) -> Pending:
        """Read LangGraph's `StateSnapshot`."""
        metadata = snapshot.metadata or {}
        interrupts = tuple(
            {"id": i.id, "node": task.name, "value": i.value, "schema": getattr(i, "response_schema", None)}
            for task in snapshot.tasks
            for i in task.interrupts
        )
        return Pending(
            tasks=tuple(task.name for task in snapshot.tasks),
            interrupts=interrupts,
            errors=tuple((t.name, str(t.error)) for t in snapshot.tasks if t.error),
            run_id=metadata.get("run_id"),
            checkpoint_id=snapshot.config["configurable"].get("checkpoint_id"),
            values=snapshot.values if isinstance(snapshot.values, Mapping) else {},
            step=metadata.get("step", -2),
        )


def check_nodes(thread: str, checkpoint: Mapping[str, Any] | None, nodes: Mapping[str, Any]) -> None:
    """Refuse a checkpoint whose pending nodes the graph does not have.

    LangGraph would return successfully, having done nothing.

    Raises
    ------
    IncompatibleGraph
        A node that is to run next was renamed or removed.
    """
    if checkpoint is None:
        return
    values = checkpoint["channel_values"]
    waiting = [name.removeprefix(_TRIGGER) for name in values if name.startswith(_TRIGGER)]
    waiting += [send.node for send in values.get("__pregel_tasks") or ()]
    for name in waiting:
        if name not in nodes:
            raise IncompatibleGraph(
                f"Thread {thread!r} waits to run `{name}`, and the graph has no such node{did_you_mean(name, nodes)} "
                "Give the node its old name back to go on, or start anew with "
                "`run(..., abandon=True)`.",
                thread=thread,
                difference={"pending": waiting, "missing": name, "nodes": sorted(nodes)},
            )


def answer(pending: Pending, value: Any) -> Any:
    """What to resume with: a bare answer for one question, `{interrupt id: answer}` for several.

    Raises
    ------
    InputInvalid
        Nothing waits for an answer, several questions wait and the ids are missing or unknown.
    """
    ids = [str(i["id"]) for i in pending.interrupts]
    if not ids:
        raise InputInvalid(
            "An answer was given, and no question waits for one. Resume without a value.",
            key=None,
            expected=None,
        )
    if isinstance(value, Mapping) and value and set(value) <= set(ids):
        return dict(value)
    if len(ids) == 1:
        return {ids[0]: value}
    asked = ", ".join(f"{i['id']} (`{i['node']}`: {i['value']!r})" for i in pending.interrupts)
    raise InputInvalid(
        f"{len(ids)} questions wait: {asked}. Answer them by id: {{id: answer, ...}}.",
        key=None,
        expected="answers by id",
    )
