"""What is pending on a thread: decided by its tasks, never by `next` being empty.

When a superstep's writes are saved and its checkpoint is not, LangGraph's `next` is empty and work
remains; the tasks are still there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from langgraph.types import Interrupt

from dalsegno.errors import DalsegnoError
from dalsegno.graphs.model import WorkflowSpec
from dalsegno.graphs.renaming import today
from dalsegno.nodes.paths import coded, shown
from dalsegno.nodes.secrets import Secrets, masked
from dalsegno.runtime.answering import schema_json
from dalsegno.runtime.executions import HANDLER_OF
from dalsegno.runtime.marks import ASIDE, ERROR_SOURCE, INTERRUPT, RESUME


@dataclass(frozen=True)
class Pending:
    """The state of a thread between two of its processes.

    `tasks` are the pending nodes, `unfinished` those of them that are executed when the run goes on; `interrupts` the
    questions that wait (id, node, value, schema), without what their classes say is secret, and with the path of the
    node that asks, also inside of subworkflows (``"sub/ask"``); `run_id` whose checkpoint it is; `checkpoint_id` its
    id, None where the thread has none; `values` the state with the kernel's key, `whole` also one that has no keys,
    `inside` those of the subworkflows in which a question waits. `is_stuck`: all tasks of the superstep have ended, and
    what they wrote cannot be put into the state (a key without a reducer was written twice, a reducer raises); `values`
    are those before it.
    """

    tasks: tuple[str, ...]
    interrupts: tuple[Mapping[str, Any], ...]
    errors: tuple[tuple[str, str], ...]
    run_id: str | None
    checkpoint_id: str | None
    values: Mapping[str, Any]
    step: int
    is_stuck: bool = False
    whole: Any = None
    inside: tuple[Any, ...] = ()
    unfinished: tuple[str, ...] = ()

    @staticmethod
    def on(graph: Any, thread: str, names: Mapping[str, str] | None = None) -> Pending:
        """Read a thread in a compiled graph; `names` maps places in it to those to tell."""
        config = {"configurable": {"thread_id": thread}}
        snapshot, is_stuck = _snapshot(graph, config)
        if any(task.interrupts and task.state is not None for task in snapshot.tasks):
            # Which of the nodes inside it is; the inner level may be stuck by itself.
            whole, is_inner_stuck = _snapshot(graph, snapshot.config if is_stuck else config, subgraphs=True)
            snapshot = snapshot if is_inner_stuck else whole
        metadata = snapshot.metadata or {}
        names = names or {}
        interrupts = tuple(
            {
                "id": i.id,
                "node": shown(today(path, names)),
                "value": masked(i.value),
                "schema": schema_json(getattr(i, "response_schema", None)),
            }
            for path, i in _asked(snapshot, graph.checkpointer)
        )
        tasks = [(shown(today(coded(task.name), names)), task.result is not None) for task in snapshot.tasks]
        return Pending(
            tasks=tuple(name for name, _ in tasks),
            interrupts=interrupts,
            errors=tuple(
                (shown(today(coded(t.name), names)), str(t.error)) for t in snapshot.tasks if t.error
            ),
            run_id=metadata.get("run_id"),
            checkpoint_id=snapshot.config["configurable"].get("checkpoint_id"),
            values=snapshot.values if isinstance(snapshot.values, Mapping) else {},
            step=metadata.get("step", -2),
            is_stuck=is_stuck,
            whole=snapshot.values,
            inside=tuple(_inside(snapshot)),
            unfinished=tuple(name for name, is_done in tasks if not is_done),
        )

    def secrets(self, schemas: Iterable[Any], given: Any = None) -> Secrets:
        """The secrets in it, and in what the run was given, with which its questions are told."""
        found = Secrets(schemas)
        for values in (given, self.values, *self.inside):
            found.learn(values)
        return found

    def output(self, spec: WorkflowSpec) -> Any:
        """What a run gives: the output keys of its state; all of a state that has no keys."""
        if not spec.state:
            return self.whole
        return {key: value for key, value in self.values.items() if key in spec.outputs}


def _snapshot(graph: Any, config: Any, *, subgraphs: bool = False) -> tuple[Any, bool]:
    """The state of a thread, and whether it is that before a superstep whose writes cannot be applied.

    LangGraph applies what finished tasks wrote when it is asked for the latest state, and not for one by its id.
    """
    try:
        return graph.get_state(config, subgraphs=subgraphs), False
    except DalsegnoError:
        raise
    except Exception:
        kept = graph.checkpointer.get_tuple(config)
        if kept is None or not kept.pending_writes:
            raise
        return graph.get_state(kept.config), True


def _inside(snapshot: Any) -> Iterator[Any]:
    for task in snapshot.tasks:
        if getattr(task.state, "tasks", None):
            yield task.state.values
            yield from _inside(task.state)


def _asked(snapshot: Any, saver: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each interrupt that waits, with the place of the node that it is in."""
    for task in snapshot.tasks:
        inner = dict[str, str]()
        if getattr(task.state, "tasks", None):
            inner = {i.id: path for path, i in _asked(task.state, saver, f"{prefix}{coded(task.name)}/")}
        for interrupt in task.interrupts:
            yield inner.get(interrupt.id, prefix + coded(task.name)), interrupt
    if any(task.error is not None for task in snapshot.tasks):
        for node, interrupt in _asked_by_handlers(snapshot, saver):
            yield prefix + coded(node), interrupt


def _asked_by_handlers(snapshot: Any, saver: Any) -> Iterator[tuple[str, Any]]:
    """Each interrupt of an error handler, with the node that failed: LangGraph's snapshot has no task of a handler."""
    kept = saver.get_tuple(snapshot.config)
    level = snapshot.config["configurable"].get("checkpoint_ns")
    own = {task.id for task in snapshot.tasks}
    failed: list[tuple[str, str]] = []
    asked: dict[str, Any] = {}
    answers: dict[str, Any] = {}
    for task, channel, value in kept.pending_writes or () if kept else ():
        if channel == ERROR_SOURCE:
            failed.append((value, f"{level}|{value}:{task}|" if level else f"{value}:{task}|"))
        elif task not in own and channel == INTERRUPT:
            asked.setdefault(task, value)
        elif task not in own and channel == RESUME:
            answers[task] = value
        elif task not in own and channel not in ASIDE:  # it has ended
            asked[task] = ()
    for task, interrupts in asked.items():
        last = f":{task}|{len(answers[task])}" if answers.get(task) else f":{task}"
        for interrupt in interrupts:
            found = [
                node
                for node, place in failed
                if Interrupt.from_ns(None, f"{place}{HANDLER_OF}{node}{last}").id == interrupt.id
            ]
            yield " or ".join(found or dict(failed)), interrupt  # a default handler is that of all of them
