"""What a process under test did, written down outside of the database under test.

Every record is one write to a file opened for appending, so that what was written stands in order
and survives the kill of its process. In a power cut it stands for an onlooker outside of the machine.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    get_checkpoint_id,
)
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT
from langgraph.runtime import get_runtime

from dalsegno.checkpoints import Database, SqliteCheckpointer
from dalsegno.nodes.execution import current_execution
from dalsegno.runtime.events import Event, NodeFinished, NodeStarted
from dalsegno.testing.crash_kit.kills import Kill

if TYPE_CHECKING:
    from dalsegno.checkpoints.file.database import Profile

Record = list[Any]


class Witness:
    """Writes down what one process does, and kills it where it is told to."""

    def __init__(self) -> None:
        self._file = -1
        self._kill: Kill | None = None
        self._keeping = threading.local()
        self._expected: dict[str, tuple[Any, ...]] = {}
        self._tasks: Collection[str] = ()
        self._under_way: dict[str, str] = {}

    def open(self, path: Path, kill: Kill | None, *, failed_before: bool = False) -> None:
        """Begin the part of a new process; an error of the disk ended the one before or not."""
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._kill = kill
        self.note("process", failed_before)

    def close(self) -> None:
        """Write nothing more."""
        os.close(self._file)

    def note(self, *record: Any) -> None:
        os.write(self._file, json.dumps(record).encode() + b"\n")

    def on_event(self, event: Event) -> None:
        """Note the beginning and the end of a node, with LangGraph's task, which its writes will name."""
        if type(event) is NodeStarted:
            execution, info = current_execution(), get_runtime().execution_info
            assert execution is not None
            task, checkpoint = (info.task_id, info.checkpoint_id) if info is not None else ("", "")
            self._under_way[identity(event)] = task
            self.note("start", task, checkpoint, identity(event), execution.idempotency_key)
        elif type(event) is NodeFinished:
            # A node of a plain LangGraph graph ends behind its routers, where LangGraph says no more which task it is.
            self.note("finish", self._under_way.pop(identity(event)))

    def committing(self, number: int, tasks: Collection[str]) -> None:
        """Just before the process makes its `number`-th commit, which those tasks' writes are in."""
        self._tasks = tasks
        if self._kill is not None and self._kill == Kill(number, "before"):
            self._die()

    def committed(self, number: int) -> None:
        """Just after it. What is on disk by then counts, though nobody was told of it yet."""
        self.note("commit", number)
        for task in self._tasks:
            if task in self._expected:
                self.note(*self._expected.pop(task))
        if self._kill is not None and self._kill == Kill(number, "after"):
            is_kept, record = getattr(self._keeping, "now", None) or (lambda: False, ())
            if is_kept():
                self.note(*record)
            self._die()

    def expect(self, task: str, *record: Any) -> None:
        """Note `record` with the commit that holds what that task wrote; it may come later, by another thread."""
        self._expected[task] = record

    @contextmanager
    def keeping(self, is_kept: Callable[[], bool], *record: Any) -> Iterator[None]:
        """Note `record` when what this thread does inside is over; `is_kept` tells after a commit in it."""
        self._keeping.now = is_kept, record
        try:
            yield
        finally:
            self._keeping.now = None
        self.note(*record)

    def _die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def identity(of: NodeStarted) -> str:
    """Which execution of which node this is; the same in every run of the same input."""
    index = "" if of.index is None else f"[{of.index}]"
    return f"{'/'.join(of.path)}#{of.occurrence}{index}"


class _Witnessed(SqliteCheckpointer):
    """Notes what is committed, and what LangGraph was told to be kept: that is the return of the call."""

    witness: Witness

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        new: RunnableConfig = {"configurable": {**config["configurable"], "checkpoint_id": checkpoint["id"]}}
        record = "kept", checkpoint["id"], get_checkpoint_id(config)
        with self.witness.keeping(lambda: self.get_tuple(new) is not None, *record):
            return super().put(config, checkpoint, metadata, new_versions)

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        def is_kept() -> bool:
            found = self.get_tuple(config)
            return found is not None and task_id in {task for task, *_ in found.pending_writes or ()}

        channels = {channel for channel, _ in writes}
        done = channels - set(WRITES_IDX_MAP) and not channels & {ERROR, INTERRUPT}
        if self.database.linger > 0 and channels.isdisjoint(WRITES_IDX_MAP):
            self.witness.expect(task_id, "done", task_id)
            super().put_writes(config, writes, task_id, task_path)
            return
        with self.witness.keeping(is_kept, "done" if done else "waits", task_id):
            super().put_writes(config, writes, task_id, task_path)


def witnessed(
    checkpointer: type[SqliteCheckpointer], path: Path, witness: Witness, profile: Profile, linger: float
) -> SqliteCheckpointer:
    """A checkpointer of that class, whose commits and acknowledgements are noted."""
    observed: type[_Witnessed] = type(checkpointer.__name__, (_Witnessed, checkpointer), {})
    database = Database(path, profile=profile, linger=linger)
    database.before_commit.append(witness.committing)
    database.on_commit.append(witness.committed)
    made = observed(database)
    made.witness = witness
    return made


def records(path: Path) -> list[Record]:
    """What was written down so far, in order; a line that a kill cut off is left out."""
    if not path.exists():
        return []
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return [json.loads(line) for line in whole.splitlines()]
