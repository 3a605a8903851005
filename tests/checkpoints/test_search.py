"""Listing and filtering; threads, keys and values are data whatever they contain."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6

from dalsegno.checkpoints import Checkpointer, Ledger, SqliteCheckpointer
from dalsegno.errors import CheckpointError

ODD = [
    "'; DROP TABLE checkpoints; --",
    '"',
    "a' OR '1'='1",
    "日本 🎼",
    "%",
    "_",
    "a\nb\tc",
    "../../etc/passwd",
    "$.source",
    "a\0b",
    " ",
    "x" * 5000,
    "é",
    "e\u0301",
]


def put(saver: Checkpointer, thread: Any, metadata: dict[str, Any], value: Any = 0) -> Any:
    version = saver.get_next_version(None, None)
    checkpoint = {
        **empty_checkpoint(),
        "id": str(uuid6()),
        "channel_values": {"k": value},
        "channel_versions": {"k": version},
    }
    place: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
    return saver.put(place, checkpoint, metadata, {"k": version})  # type: ignore[arg-type]


def steps(saver: Checkpointer, **search: Any) -> list[Any]:
    return [found.metadata.get("n") for found in saver.list(None, **search)]


def test_a_thread_is_data_whatever_its_name(saver: Checkpointer, backend: str) -> None:
    ledger = Ledger(saver.database)
    names = [name for name in ODD if backend == "sqlite" or "\0" not in name]
    for n, name in enumerate(names):
        config = put(saver, name, {"n": n}, name)
        saver.put_writes(config, [(name, name)], name, name)
        ledger.finish(ledger.begin(run_id=f"run{n}", thread=name, workflow=name), "completed")
    for n, name in enumerate(names):
        found = saver.get_tuple({"configurable": {"thread_id": name}})
        assert found is not None
        assert found.checkpoint["channel_values"] == {"k": name}
        assert found.pending_writes == [(name, name, name)]
        assert [t.metadata["n"] for t in saver.list({"configurable": {"thread_id": name}})] == [n]  # type: ignore[typeddict-item]
        record = ledger.latest(name)
        assert record is not None
        assert (record.run_id, record.workflow) == (f"run{n}", name)
    saver.copy_thread(names[0], "copy")
    saver.prune([names[1]])
    saver.delete_thread(names[0])
    ledger.delete_thread(names[0])
    assert len(list(saver.list(None))) == len(names)
    assert len(ledger.runs()) == len(names) - 1


def test_a_thread_may_be_a_number(saver: Checkpointer) -> None:
    put(saver, 7, {"n": 1})
    assert saver.get_tuple({"configurable": {"thread_id": 7}}) == saver.get_tuple(
        {"configurable": {"thread_id": "7"}}
    )


@pytest.mark.parametrize("key", ODD)
def test_any_metadata_key_is_filtered_by_and_none_is_injected(saver: Checkpointer, key: str) -> None:
    put(saver, "t", {"n": 1, key: "yes"})
    put(saver, "t", {"n": 2, key: "no"})
    put(saver, "t", {"n": 3})
    assert steps(saver, filter={key: "yes"}) == [1]
    assert steps(saver, filter={key: key}) == []
    assert steps(saver, filter={"n": 3, key: None}) == [3]


@pytest.mark.parametrize(
    "value",
    ["x", "", 0, 1, -1, 2**62, 2**70, 0.1 + 0.2, True, False, None, [1, {"a": 2}], {"a": [None]}, *ODD],
)
def test_any_value_is_filtered_by_as_python_compares(saver: Checkpointer, value: Any) -> None:
    value_without_nul = value.replace("\0", "") if isinstance(value, str) else value
    put(saver, "t", {"n": 1, "key": value})  # LangGraph drops NULs from metadata
    put(saver, "t", {"n": 2, "key": "another"})
    assert steps(saver, filter={"key": value_without_nul}) == [1]


def test_metadata_that_json_would_change_is_kept_as_it_is(saver: Checkpointer) -> None:
    metadata = {"n": 1, "set": {1, 2}, "nan": float("inf"), "numbered": [{1: "one"}]}
    put(saver, "t", metadata)
    put(saver, "u", {"n": 2, "numbered": {1: "one"}})
    (found,) = saver.list(None, filter={"n": 1, "set": {1, 2}})
    assert found.metadata == metadata
    (found,) = saver.list(None, filter={"numbered": {1: "one"}})
    assert found.metadata["n"] == 2  # type: ignore[typeddict-item]


def test_the_limit_counts_what_matches(saver: Checkpointer) -> None:
    for n in range(150):
        put(saver, "t", {"n": n, "ratio": 0.5 if n % 2 else 0.25})
    assert steps(saver, limit=3) == [149, 148, 147]
    assert steps(saver, limit=0) == []
    assert steps(saver, filter={"ratio": 0.5}, limit=70) == list(range(149, 9, -2))
    assert steps(saver, filter={"n": 7}, limit=1) == [7]
    assert len(steps(saver)) == 150


def test_the_limit_does_not_count_what_only_looks_alike(saver: Checkpointer) -> None:
    for metadata in (
        {"n": 0, "k": "[1,2]"},
        {"n": 1, "k": '{"a":1}'},
        {"n": 2, "k": [1, 2]},
        {"n": 3, "k": {"a": 1}},
    ):
        put(saver, "t", metadata)
    assert steps(saver, filter={"k": "[1,2]"}, limit=1) == [0]
    assert steps(saver, filter={"k": '{"a":1}'}, limit=1) == [1]
    assert steps(saver, filter={"k": [1, 2]}, limit=1) == [2]


@pytest.mark.parametrize("limit", ["1", "1; DROP TABLE checkpoints", 2.0, [1]])
def test_a_limit_that_is_no_whole_number_is_refused(saver: Checkpointer, limit: Any) -> None:
    put(saver, "t", {"n": 1})
    with pytest.raises(CheckpointError, match="a whole number of checkpoints"):
        steps(saver, limit=limit)
    assert steps(saver, limit=10**30) == [1]
    assert steps(saver, limit=-1) == []


def test_a_listing_may_start_before_a_checkpoint_or_be_one(saver: Checkpointer) -> None:
    configs = [put(saver, "t", {"n": n}) for n in range(5)]
    assert steps(saver, before=configs[2]) == [1, 0]
    assert [t.metadata["n"] for t in saver.list(configs[2])] == [2]  # type: ignore[typeddict-item]


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
KEY = TEXT.filter(lambda key: key != "writes")  # which LangGraph takes out of all metadata


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(KEY, TEXT | st.integers(-(2**63), 2**63 - 1) | st.booleans(), max_size=3))
def test_every_metadata_finds_itself(metadata: dict[str, Any]) -> None:
    with SqliteCheckpointer(":memory:") as saver:
        put(saver, "t", metadata)
        (found,) = saver.list(None, filter=metadata)
        assert found.metadata == metadata
