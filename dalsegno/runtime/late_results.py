"""Results of nodes that have ended, and that LangGraph drops or hands over much later.

When a node has failed, LangGraph waits for the others of its superstep and has their writes committed. But it shuts its
threads down as soon as the last of them has returned, and what that one wrote is handed over only after that: whether
it still comes through is a matter of microseconds (`BackgroundExecutor.__exit__`, LangGraph 1.2).

A task whose routers were not all asked has written a part of it only: as where Ctrl-C comes while one is. LangGraph
would take it for done, and go nowhere from there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from langgraph.channels import DeltaChannel, UntrackedValue
from langgraph.channels.base import BaseChannel

from dalsegno.checkpoints.task_writes import outcome_of
from dalsegno.errors import CheckpointError, Fenced
from dalsegno.graphs.kernel import CONTEXT
from dalsegno.nodes.execution import Execution

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from dalsegno.runtime.session import Session


def hand_over(session: Session, checkpointer: BaseCheckpointSaver[str]) -> None:
    """Commit what was written by nodes that ended and that nobody has committed, when all of a turn's have ended.

    What cannot be committed is given up: its node is executed again.
    """
    waiting: list[Execution] = session.ledger.database.waiting_about(session.lease.token)
    for execution in {one.task_id: one for one in waiting}.values():
        _commit(checkpointer, execution, (UntrackedValue,))


def hand_over_before_the_next(
    checkpointer: BaseCheckpointSaver[str], session: Session, execution: Execution
) -> None:
    """Commit what a sync node wrote, before its thread goes on with another one of the superstep.

    LangGraph hands it over in one of these threads too, where it stands in line behind all the nodes that wait for one.
    What it hands over then is here already. Not of a graph that keeps writes in place of values: LangGraph is still to
    give ids to the messages in them.
    """
    if any(one is execution for one in session.ledger.database.waiting_about(session.lease.token)):
        _commit(checkpointer, execution, (UntrackedValue, DeltaChannel))


def _commit(
    checkpointer: BaseCheckpointSaver[str],
    execution: Execution,
    but: tuple[type[BaseChannel[Any, Any, Any]], ...],
) -> None:
    if execution.config is None or execution.task_id is None or _holds_any(execution.config, but):
        return
    writes = _writes_of(execution.config)
    if writes and outcome_of(writes) == "done":
        with suppress(CheckpointError, Fenced):
            checkpointer.put_writes(
                _place_of(execution), writes, execution.task_id, _path_of(execution.config)
            )


def keep_quiet() -> None:
    """Have nothing logged of such a result of a run's: it is kept, and no fault of the user's."""
    logging.getLogger("concurrent.futures").addFilter(_is_to_be_heard)


def _is_to_be_heard(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, RuntimeError) or not str(error).startswith("cannot schedule new futures"):
        return True
    trace = error.__traceback__
    while trace is not None:
        config = getattr(trace.tb_frame.f_locals.get("self"), "config", None)  # of LangGraph's loop
        if isinstance(config, Mapping) and CONTEXT in config.get("configurable", ()):
            return False
        trace = trace.tb_next
    return True


def _writes_of(config: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What a task has written, in the list in which LangGraph gathers it; nothing where that is not to be seen."""
    send = config["configurable"].get("__pregel_send")  # langgraph._internal._constants.CONFIG_KEY_SEND
    return list(getattr(send, "__self__", ()))


def _holds_any(config: Mapping[str, Any], kinds: tuple[type[BaseChannel[Any, Any, Any]], ...]) -> bool:
    """Whether a task's graph has keys of these kinds, as such that are kept nowhere, and that LangGraph leaves out of
    what it hands over; also where that is not to be seen."""
    read = config["configurable"].get("__pregel_read")  # langgraph._internal._constants.CONFIG_KEY_READ
    channels = next((part for part in getattr(read, "args", ()) if isinstance(part, Mapping)), None)
    return channels is None or any(isinstance(channel, kinds) for channel in channels.values())


def _place_of(execution: Execution) -> RunnableConfig:
    """The checkpoint that a task ran on: its namespace is that of the task, without the last part."""
    assert execution.config is not None
    namespace = execution.config["metadata"]["langgraph_checkpoint_ns"].rpartition("|")[0]
    return {
        "configurable": {
            **execution.config["configurable"],
            "checkpoint_ns": namespace,
            "checkpoint_id": execution.checkpoint_id,
        }
    }


def _path_of(config: Mapping[str, Any]) -> str:
    """Where a task stands among those of its superstep, as LangGraph tells it to savers: they order writes by it."""
    return _told(config["metadata"]["langgraph_path"])


def _told(path: Any) -> str:
    if isinstance(path, tuple | list):
        return f"~{', '.join(map(_told, path))}"
    return f"{path:010d}" if isinstance(path, int) else str(path)
