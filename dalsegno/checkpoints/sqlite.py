"""The checkpointer: LangGraph's checkpoints in one SQLite file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import ERROR

from dalsegno.checkpoints import maintenance, rows, values
from dalsegno.checkpoints.database import Database, Profile
from dalsegno.checkpoints.schema_types import types_in
from dalsegno.checkpoints.strict import Allowed, StrictSerializer

_ERROR_SOURCE = "__error_source_node__"  # langgraph._internal._constants.ERROR_SOURCE_NODE
_WRITE = (
    "INTO writes (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, type, blob) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

# The class below has a method named `list`.
Rows = list[tuple[Any, ...]]
Groups = Iterator[list[CheckpointTuple]]


class SqliteCheckpointer(BaseCheckpointSaver[int]):
    """Keeps every checkpoint of every thread in one SQLite file, for any LangGraph graph.

    A channel's value is stored once for each version of it. Nothing is opened before the first use.
    Sync and async methods work on the same object, from any thread and any event loop.

    Parameters
    ----------
    path
        The file, or a `Database` to share.
    profile
        ``"durable"`` (a commit survives power loss) or ``"fast"`` (it survives a kill).
    allow
        Types, or (module, name) pairs, that may be read back beside LangGraph's safe ones.
    serde
        Replaces the strict serializer, and with it `allow`.

    Raises
    ------
    TypeNotAllowed
        A stored value, or one to be stored, is of a type that is not allowed.
    NotSerializable
        A value cannot be stored; the checkpoint before it stands.
    DatabaseInvalid, DatabaseUnavailable
        The file cannot be used; see `Database`.

    Examples
    --------
    >>> from typing import TypedDict
    >>> from langgraph.graph import START, StateGraph
    >>> builder = StateGraph(TypedDict("State", {"n": int}))
    >>> _ = builder.add_node("add", lambda state: {"n": state["n"] + 1}).add_edge(START, "add")
    >>> thread = {"configurable": {"thread_id": "1"}}
    >>> with SqliteCheckpointer(":memory:") as saver:  # or a path
    ...     _ = builder.compile(checkpointer=saver).invoke({"n": 1}, thread)
    ...     saver.get_tuple(thread).checkpoint["channel_values"]["n"]
    2
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Database,
        *,
        profile: Profile = "durable",
        allow: Iterable[Allowed] = (),
        serde: SerializerProtocol | None = None,
    ) -> None:
        super().__init__(serde=serde if serde is not None else StrictSerializer(allow))
        self.database = path if isinstance(path, Database) else Database(path, profile=profile)

    def allow_types(self, types: Iterable[Allowed]) -> None:
        """Let these types be stored and read from now on; nothing happens with a serde of the user's."""
        if isinstance(self.serde, StrictSerializer):
            self.serde.allow_types(types)

    def allow_schema(self, *schemas: Any) -> None:
        """Let every type that these state schemas name be stored and read."""
        for schema in schemas:
            self.allow_types(types_in(schema))

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> BaseCheckpointSaver[int]:
        if isinstance(self.serde, StrictSerializer):
            self.allow_types(extra_allowlist)
            return self
        return super().with_allowlist(extra_allowlist)

    # --- writing ---

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint, and the values of the channels in `new_versions`, in one commit."""
        thread, namespace = _place(config)
        body: dict[str, Any] = dict(checkpoint)
        channel_values = body.pop("channel_values")
        versions = body.pop("channel_versions")
        # Bytes first: a value that cannot be stored must leave nothing, and others need not wait for it.
        blobs = [
            (channel, version, *values.dump(self.serde, channel_values[channel], thread=thread, key=channel))
            for channel, version in new_versions.items()
            if channel in channel_values
        ]
        kind, stored = values.dump(self.serde, body, thread=thread, key="checkpoint")
        described = get_serializable_checkpoint_metadata(config, metadata)
        row = rows.Row(
            thread=thread,
            namespace=namespace,
            checkpoint_id=checkpoint["id"],
            parent=get_checkpoint_id(config),
            versions=versions,
            type=kind,
            body=stored,
            metadata=rows.dump_metadata(self.serde, described, thread),
        )
        with self.database.transaction() as connection:
            rows.insert(connection, row, blobs, new_versions)
        return _config(thread, namespace, checkpoint["id"])

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task wrote, to be found with the checkpoint it ran on.

        A task that failed has done nothing: its ordinary writes are dropped. LangGraph hands them over
        when the router behind a node raises, and on resume would take the task for done and end the run
        without routing. They stay when an error handler has taken over, since the run then goes on with them.
        """
        thread, namespace = _place(config)
        checkpoint_id = get_checkpoint_id(config)
        channels = {channel for channel, _ in writes}
        failed = ERROR in channels and _ERROR_SOURCE not in channels
        special: Rows = []
        ordinary: Rows = []
        for position, (channel, value) in enumerate(writes):
            index = WRITES_IDX_MAP.get(channel, position)
            if failed and channel not in WRITES_IDX_MAP:
                continue
            kept = values.dump(self.serde, value, thread=thread, key=channel)
            row = (thread, namespace, checkpoint_id, task_id, index, task_path, channel, *kept)
            (special if index < 0 else ordinary).append(row)
        with self.database.transaction(task=task_id) as connection:
            if special:
                connection.executemany(f"INSERT OR REPLACE {_WRITE}", special)
            if ordinary:
                connection.executemany(f"INSERT OR IGNORE {_WRITE}", ordinary)

    # --- reading ---

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that `config` names, or the latest of its thread and namespace."""
        thread, namespace = _place(config)
        with self.database.read() as connection:
            found = rows.find(connection, thread, namespace, get_checkpoint_id(config))
            parts = rows.load_parts(connection, [found]) if found else None
        return rows.build(self.serde, found, parts) if found and parts else None

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, newest first. They are read in groups, and nothing is locked in between."""
        for group in self._groups(config, filter, before, limit):
            yield from group

    def _groups(
        self,
        config: RunnableConfig | None,
        filter: dict[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> Groups:
        place = (config or {}).get("configurable", {})
        search = rows.Search(
            thread=str(place["thread_id"]) if config else None,
            namespace=place.get("checkpoint_ns"),
            checkpoint_id=place.get("checkpoint_id"),
            before=get_checkpoint_id(before) if before else None,
            filter=filter or {},
            limit=limit,
        )
        with self.database.read() as connection:
            identities = rows.search(connection, search)
        wanted = len(identities) if limit is None else limit
        for start in range(0, len(identities), rows.GROUP):
            if wanted <= 0:
                return
            with self.database.read() as connection:
                found = rows.fetch(connection, identities[start : start + rows.GROUP])
                found = [row for row in found if search.matches(row, self.serde)][:wanted]
                parts = rows.load_parts(connection, found)
            wanted -= len(found)
            yield [rows.build(self.serde, row, parts) for row in found]

    # --- deleting and copying ---

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread's checkpoints, values and writes."""
        with self.database.transaction() as connection:
            maintenance.delete_thread(connection, str(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints that carry one of these run ids in their metadata, and their writes.

        Raises
        ------
        CheckpointError
            A checkpoint that stays needs one of them to rebuild a `DeltaChannel`. Nothing is deleted.
        """
        with self.database.transaction() as connection:
            maintenance.delete_for_runs(connection, run_ids)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy everything of one thread to another: all checkpoints, values and writes."""
        with self.database.transaction() as connection:
            maintenance.copy_thread(connection, str(source_thread_id), str(target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete all but the latest checkpoint of each namespace (``"keep_latest"``), or all (``"delete"``).

        Ancestors that a `DeltaChannel` of the latest is rebuilt from stay, down to its last snapshot.
        """
        with self.database.transaction() as connection:
            maintenance.prune(connection, [str(thread) for thread in thread_ids], strategy)

    # --- async ---

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await asyncio.to_thread(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        groups = self._groups(config, filter, before, limit)
        while (group := await asyncio.to_thread(next, groups, None)) is not None:
            for found in group:
                yield found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await asyncio.to_thread(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        await asyncio.to_thread(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        await asyncio.to_thread(self.delete_thread, thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await asyncio.to_thread(self.delete_for_runs, run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await asyncio.to_thread(self.copy_thread, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        await asyncio.to_thread(lambda: self.prune(thread_ids, strategy=strategy))

    # --- closing ---

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self.database.close()

    async def aclose(self) -> None:
        """Close the file; the next use opens it again."""
        await asyncio.to_thread(self.close)

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


def _place(config: RunnableConfig) -> tuple[str, str]:
    place = config["configurable"]
    return str(place["thread_id"]), place.get("checkpoint_ns") or ""


def _config(thread: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id}}
