"""The checkpointer: LangGraph's checkpoints in one SQLite file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from dalsegno.checkpoints.checkpointer import Checkpointer, check_limit, place_in
from dalsegno.checkpoints.failures import check_names, damage_named
from dalsegno.checkpoints.fencing import in_the_way, token_of
from dalsegno.checkpoints.file import rows, threads
from dalsegno.checkpoints.file.cache import Cache
from dalsegno.checkpoints.file.database import Database, Profile
from dalsegno.checkpoints.file.reading import Reader, config_of, delta_history
from dalsegno.checkpoints.file.storing import Given, PutCheckpoint, PutWrites
from dalsegno.checkpoints.strict import Allowed, StrictSerializer
from dalsegno.checkpoints.task_writes import kept_of, outcome_of
from dalsegno.errors import DefinitionError

_GROWTH = 16  # how many times larger the next group of a listing is, where nobody says how much is wanted


class SqliteCheckpointer(Checkpointer):
    """Keeps every checkpoint of every thread in one SQLite file, for any LangGraph graph.

    A superstep stores only what it changed, however large the state is. The file is opened at the first use. Sync and
    async methods work on the same object, from any thread and any event loop.

    Parameters
    ----------
    path
        The file, or a `Database` to share.
    profile
        ``"durable"``: a commit survives power loss. ``"fast"``: it survives a kill of the process.
    linger
        Seconds that the writes of a task may wait to share a commit with the checkpoint or with other tasks. With 0,
        `put_writes` commits before it returns. Errors and interrupts never wait.
    allow
        Types that may be stored and read in addition to LangGraph's safe ones: classes, or (module, name) pairs.
    serde
        A serializer that replaces the strict one. `allow` then has no meaning.

    Raises
    ------
    TypeNotAllowed
        A stored value, or one to be stored, is of a type that is not allowed.
    NotSerializable
        A value cannot be stored. The last checkpoint stands.
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
        linger: float = 0.002,
        allow: Iterable[Allowed] = (),
        serde: SerializerProtocol | None = None,
    ) -> None:
        if serde is not None and not hasattr(serde, "dumps_typed"):
            raise DefinitionError(
                f"SqliteCheckpointer(serde={serde!r}): a serializer of LangGraph's kind is needed, with dumps_typed "
                "and loads_typed."
            )
        super().__init__(serde=serde if serde is not None else StrictSerializer(allow))
        self.database: Database = (
            path if isinstance(path, Database) else Database(path, profile=profile, linger=linger)
        )
        self._cache = Cache()

    # --- writing ---

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint, and the values of the channels in `new_versions`, in one commit.

        It is on disk when this returns, and with it every write that was waiting.

        Raises
        ------
        NotSerializable, TypeNotAllowed
            A value cannot be kept. The last checkpoint stands.
        DatabaseUnavailable
            It could not be written, or writes that were waiting could not.
        ThreadBusy
            It is a `Runner`'s, whose thread another process has taken over.
        """
        thread, namespace = place_in(config)
        described = get_serializable_checkpoint_metadata(config, metadata)
        given = Given(
            place=(thread, namespace),
            parent=get_checkpoint_id(config),
            checkpoint=checkpoint,
            new_versions=new_versions,
            metadata=rows.dump_metadata(self.serde, described, thread),
            token=token_of(config, self.database, thread),
        )
        # Bytes first: a value that cannot be stored must leave nothing, and others need not wait for it.
        self.database.commit(PutCheckpoint(given, self.serde, self._cache))
        return config_of(thread, namespace, checkpoint["id"])

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task wrote, to be found with the checkpoint it ran on; see `task_writes.kept_of`."""
        thread, namespace = place_in(config)
        checkpoint_id = get_checkpoint_id(config)
        outcome = outcome_of(writes)
        kept = [(task_path, *one) for one in kept_of(self.serde, writes, outcome, thread)]
        token = token_of(config, self.database, thread)
        job = PutWrites((thread, namespace), str(checkpoint_id), task_id, kept, token, outcome)
        self.database.commit(job, soon=all(channel not in WRITES_IDX_MAP for channel, _ in writes))

    # --- reading ---

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that `config` names, or the latest of its thread and namespace."""
        thread, namespace = place_in(config)
        with self.database.read(thread) as connection:
            found = rows.find(connection, thread, namespace, get_checkpoint_id(config))
            if found is None:
                return None
            known = self._cache.packed((thread, namespace), found.checkpoint_id, found.body)
            reader = Reader(connection, [found], self.serde, known=known)
        built = reader.build(found)
        if known is None:
            self._cache.keep((thread, namespace), reader.entry(found))
        return built

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, newest first. They are read in groups, smaller ones where they are large, and nothing is locked
        in between. Without a limit the first is read alone: who looks for one may stop there."""
        check_limit(limit)
        place = (config or {}).get("configurable", {})
        search = rows.Search(
            thread=str(place["thread_id"]) if config else None,
            namespace=place.get("checkpoint_ns"),
            checkpoint_id=place.get("checkpoint_id"),
            before=get_checkpoint_id(before) if before else None,
            filter=filter or {},
            limit=limit,
        )
        with self.database.read(search.thread) as connection:
            identities = rows.search(connection, search)
        wanted = len(identities) if limit is None else limit
        start, size = 0, rows.GROUP if limit is not None else 1
        while wanted > 0 and start < len(identities):
            group = identities[start : start + size]
            with self.database.read(search.thread) as connection:
                found = [row for row in rows.fetch(connection, group) if search.matches(row, self.serde)][
                    :wanted
                ]
                reader = Reader(connection, found, self.serde, most=rows.GROUP_BYTES)
            if reader.fits < len(found):
                found, size = found[: reader.fits], min(2 * reader.fits, rows.GROUP)
                start = identities.index(found[-1].id, start) + 1
            else:
                start, size = start + len(group), min(_GROWTH * size, rows.GROUP)
            wanted -= len(found)
            for one in found:
                yield reader.build(one)
            del reader  # before the next group is read

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """What each `DeltaChannel` is rebuilt from: its last stored value and the writes since, in one view."""
        thread, namespace = place_in(config)
        with self.database.read(thread) as connection:
            target = rows.find(connection, thread, namespace, get_checkpoint_id(config))
            return delta_history(connection, target, frozenset(channels), self.serde)

    def get_next_version(self, current: int | None, channel: None) -> int:
        """Whole numbers, also after the texts of LangGraph's own savers."""
        if isinstance(current, str):
            current = int(current.partition(".")[0])
        return int(current) + 1 if current is not None else 1

    # --- deleting and copying ---

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints that carry one of these run ids in their metadata, and their writes.

        Raises
        ------
        CheckpointError
            A checkpoint that stays needs one of them to rebuild a `DeltaChannel`. Nothing is deleted.
        ThreadBusy
            A run of a living process has a thread of theirs. Nothing is deleted.
        """
        check_names(run_ids, "run_ids")
        with self.database.transaction() as connection:
            threads.delete_for_runs(connection, run_ids)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy everything of one thread to another: all checkpoints, values and writes.

        Raises
        ------
        ThreadBusy
            A run of a living process has the other one.
        """
        with self.database.transaction() as connection, damage_named(str(source_thread_id), "checkpoints"):
            in_the_way(connection, str(target_thread_id), mine=True)
            threads.copy_thread(connection, str(source_thread_id), str(target_thread_id))
