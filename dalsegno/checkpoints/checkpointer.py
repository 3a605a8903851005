"""What the checkpointers of all databases have in common: the async half, closing, and the types they allow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from itertools import islice
from types import TracebackType
from typing import Any, Self

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)

from dalsegno.checkpoints.encryption import EncryptedSerializer
from dalsegno.checkpoints.failures import check_names
from dalsegno.checkpoints.fencing import in_the_way, refuse_held
from dalsegno.checkpoints.interface import AnyDatabase
from dalsegno.checkpoints.schema_types import types_in
from dalsegno.checkpoints.strict import Allowed, StrictSerializer
from dalsegno.errors import CheckpointError
from dalsegno.nodes.beside_nodes import in_thread

_BATCH = 32  # checkpoints that an async listing builds at once, off the loop


class Checkpointer(BaseCheckpointSaver[Any]):
    """A checkpointer of LangGraph on one of our databases; sync and async methods work on the same object, from any
    thread and any event loop. `open_checkpointer` makes the one that fits a database."""

    database: AnyDatabase

    def allow_types(self, types: Iterable[Allowed]) -> None:
        """Let these types be stored and read from now on; nothing happens with a serde of the user's."""
        if isinstance(self.serde, (StrictSerializer, EncryptedSerializer)):
            self.serde.allow_types(types)

    def allow_schema(self, *schemas: Any) -> None:
        """Let every type that these state schemas name be stored and read."""
        for schema in schemas:
            self.allow_types(types_in(schema))

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> BaseCheckpointSaver[Any]:
        if isinstance(self.serde, (StrictSerializer, EncryptedSerializer)):
            self.allow_types(extra_allowlist)
            return self
        return super().with_allowlist(extra_allowlist)

    # --- deleting ---

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread's checkpoints, values and writes.

        Raises
        ------
        ThreadBusy
            A run of a living process has it.
        """
        self._delete([str(thread_id)])

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete all but the latest checkpoint of each namespace (``"keep_latest"``), or all (``"delete"``).

        Ancestors that a `DeltaChannel` of the latest is rebuilt from stay, down to its last snapshot.
        `maintenance.prune` can keep more.

        Raises
        ------
        ThreadBusy
            All of a thread is to be deleted, and a run of a living process has it. Nothing is deleted.
        CheckpointError
            There is no such strategy; or one name stands where several are expected; or, on PostgreSQL, a thread
            has a `DeltaChannel`.
        """
        check_names(thread_ids, "thread_ids")
        if strategy not in ("keep_latest", "delete"):
            raise CheckpointError(
                f'There is no pruning strategy {strategy!r}; it is "keep_latest" or "delete".',
                strategy=strategy,
            )
        chosen = sorted({str(thread) for thread in thread_ids})
        if strategy == "delete":
            self._delete(chosen)
            return
        self.database.upkeep().prune(chosen, keep=1, before=None)

    def _delete(self, threads: Sequence[str]) -> None:
        """Delete threads, locked in their order: of two who do so neither waits for the other."""
        upkeep = self.database.upkeep()
        with self.database.read() as connection:
            refuse_held(connection, threads)
        for start in range(0, len(threads), upkeep.together):
            with self.database.transaction() as connection:
                for thread in threads[start : start + upkeep.together]:
                    self.database.lock(thread)
                    in_the_way(connection, thread, mine=True)
                    upkeep.delete_checkpoints(thread)

    # --- async ---

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return await in_thread(self.get_delta_channel_history, config=config, channels=channels)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await in_thread(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        checkpoints = iter(self.list(config, filter=filter, before=before, limit=limit))
        while batch := await in_thread(lambda: [*islice(checkpoints, _BATCH)]):
            for found in batch:
                yield found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await in_thread(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        await in_thread(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        await in_thread(self.delete_thread, thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await in_thread(self.delete_for_runs, run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await in_thread(self.copy_thread, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        await in_thread(lambda: self.prune(thread_ids, strategy=strategy))

    # --- closing ---

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        self.database.close()

    async def aclose(self) -> None:
        """Close the database; the next use opens it again."""
        await in_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def place_in(config: RunnableConfig) -> tuple[str, str]:
    """The thread and the namespace that a config names."""
    place = config["configurable"]
    return str(place["thread_id"]), place.get("checkpoint_ns") or ""


def check_limit(limit: object) -> None:
    """Raise `CheckpointError` where what a listing is limited to is no number of checkpoints."""
    if limit is not None and not isinstance(limit, int):
        raise CheckpointError(f"limit={limit!r}: a whole number of checkpoints is needed, or None for all.")
