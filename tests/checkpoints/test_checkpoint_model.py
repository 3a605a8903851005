"""The checkpointer against a model: a dictionary from checkpoint to what was put."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from langgraph.checkpoint.base import WRITES_IDX_MAP, empty_checkpoint
from langgraph.checkpoint.base.id import uuid6

from dalsegno.checkpoints import SqliteCheckpointer

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
CHANNELS = st.sampled_from(["a", "messages", "q\"uo'te", "ü", "branch:to:x"])
THREADS = st.sampled_from(["t1", "t'; DROP TABLE checkpoints;--", "日本"])
NAMESPACES = st.sampled_from(["", "sub:1"])
TASKS = st.sampled_from(["task-1", "task-2"])
WRITES = st.lists(
    st.tuples(st.sampled_from(["a", "b", "__interrupt__", "__resume__"]), VALUES), min_size=1, max_size=3
)


class CheckpointsEqualTheirModel(RuleBasedStateMachine):
    """Puts, forks, writes, copies and deletions in any order, with reopening in between."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "runs.db"
        self.saver = SqliteCheckpointer(self.path, profile="fast")
        # (thread, namespace) -> checkpoint id -> what was put
        self.model: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}

    def teardown(self) -> None:
        self.saver.close()
        self.folder.cleanup()

    @rule(
        thread=THREADS,
        namespace=NAMESPACES,
        changes=st.dictionaries(CHANNELS, VALUES, max_size=3),
        emptied=st.sets(CHANNELS, max_size=1),
        back=st.integers(0, 3),
        step=st.integers(0, 5),
    )
    def put(
        self,
        thread: str,
        namespace: str,
        changes: dict[str, Any],
        emptied: set[str],
        back: int,
        step: int,
    ) -> None:
        """On the latest checkpoint, or on an earlier one: a fork, which counts the same versions again."""
        known = self.model.setdefault((thread, namespace), {})
        ids = sorted(known)
        parent = ids[max(-1 - back, -len(ids))] if ids else None
        values = dict(known[parent]["values"]) if parent else {}
        versions = dict(known[parent]["versions"]) if parent else {}
        new = {channel: max(versions.values(), default=0) + 1 for channel in [*changes, *emptied]}
        values.update(changes)
        for channel in emptied:
            values.pop(channel, None)
        versions.update(new)
        place: dict[str, Any] = {"thread_id": thread, "checkpoint_ns": namespace}
        identity = str(uuid6(clock_seq=step))
        checkpoint = {
            "v": 4,
            "id": identity,
            "ts": "2026-01-01T00:00:00+00:00",
            "channel_values": values,
            "channel_versions": versions,
            "versions_seen": {"n": dict(versions)},
            "updated_channels": sorted(new),
        }
        if parent:
            place["checkpoint_id"] = parent
        stored = copy.deepcopy(checkpoint)
        given = self.saver.put({"configurable": place}, checkpoint, {"step": step, "source": "loop"}, new)  # type: ignore[arg-type]
        assert given["configurable"]["checkpoint_id"] == identity
        known[identity] = {
            "values": stored["channel_values"],
            "versions": versions,
            "parent": parent,
            "step": step,
            "checkpoint": stored,
            "writes": {},
        }

    @rule(thread=THREADS, namespace=NAMESPACES, task=TASKS, writes=WRITES, back=st.integers(0, 2))
    def put_writes(
        self, thread: str, namespace: str, task: str, writes: list[tuple[str, Any]], back: int
    ) -> None:
        ids = sorted(self.model.get((thread, namespace), {}))
        if not ids:
            return
        identity = ids[max(-1 - back, -len(ids))]
        place = {"thread_id": thread, "checkpoint_ns": namespace, "checkpoint_id": identity}
        self.saver.put_writes({"configurable": place}, writes, task, f"path-{task[::-1]}")
        kept = self.model[thread, namespace][identity]["writes"]
        for position, (channel, value) in enumerate(writes):
            index = WRITES_IDX_MAP.get(channel, position)
            if index < 0 or (task, index) not in kept:
                kept[task, index] = (task, channel, value)

    @rule(thread=THREADS)
    def delete_thread(self, thread: str) -> None:
        self.saver.delete_thread(thread)
        self.model = {place: known for place, known in self.model.items() if place[0] != thread}

    @rule(thread=THREADS)
    def keep_latest(self, thread: str) -> None:
        self.saver.prune([thread])
        for place, known in self.model.items():
            if place[0] == thread and known:
                self.model[place] = {max(known): known[max(known)]}

    @rule(source=THREADS, into=THREADS)
    def copy_thread(self, source: str, into: str) -> None:
        self.saver.copy_thread(source, into)
        for (thread, namespace), known in list(self.model.items()):
            if thread == source and source != into:
                self.model.setdefault((into, namespace), {}).update(copy.deepcopy(known))

    @rule()
    def reopen(self) -> None:
        self.saver.close()
        self.saver = SqliteCheckpointer(self.path, profile="fast")

    @invariant()
    def everything_reads_as_it_was_put(self) -> None:
        for (thread, namespace), known in getattr(self, "model", {}).items():
            place = {"configurable": {"thread_id": thread, "checkpoint_ns": namespace}}
            found = {t.config["configurable"]["checkpoint_id"]: t for t in self.saver.list(place)}  # type: ignore[arg-type]
            assert list(found) == sorted(known, reverse=True)
            for identity, put in known.items():
                stored = found[identity]
                assert stored.checkpoint == put["checkpoint"]
                assert stored.metadata["step"] == put["step"]
                parent = stored.parent_config
                assert (parent["configurable"]["checkpoint_id"] if parent else None) == put["parent"]
                order = sorted(put["writes"], key=lambda key: (f"path-{key[0][::-1]}", *key))
                assert stored.pending_writes == [put["writes"][key] for key in order]
            latest = self.saver.get_tuple(place)  # type: ignore[arg-type]
            assert latest == (found[max(known)] if known else None)


def test_branches_that_count_the_same_versions_keep_their_values_apart(saver: SqliteCheckpointer) -> None:
    """Versions are whole numbers, so two forks give version 2 to different values."""
    place: dict[str, Any] = {"thread_id": "t", "checkpoint_ns": ""}

    def put(parent: Any, values: dict[str, Any], versions: dict[str, Any], new: dict[str, Any]) -> Any:
        checkpoint = {**empty_checkpoint(), "channel_values": values, "channel_versions": versions}
        config = {"configurable": {**place, **parent}}
        return saver.put(config, checkpoint, {}, new)["configurable"]  # type: ignore[arg-type]

    root = put({}, {"a": "root"}, {"a": 1}, {"a": 1})
    left = put(root, {"a": "left"}, {"a": 2}, {"a": 2})
    right = put(root, {"a": "right"}, {"a": 2}, {"a": 2})
    emptied = put(root, {}, {"a": 2}, {"a": 2})
    for parent, value in ((left, "left"), (right, "right"), (emptied, None), (root, "root")):
        version = 1 if parent is root else 2
        child = put(parent, {"a": value}, {"a": version, "b": 3}, {"b": 3})
        found = saver.get_tuple({"configurable": child})
        assert found is not None
        assert found.checkpoint["channel_values"].get("a") == value


TestCheckpointsEqualTheirModel = CheckpointsEqualTheirModel.TestCase
TestCheckpointsEqualTheirModel.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
