"""Everything in a database as JSON, one line each, for other programs to read."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from dalsegno.checkpoints.failures import check_names
from dalsegno.checkpoints.interface import AnyDatabase
from dalsegno.checkpoints.strict import PlainReader


def export(database: AnyDatabase, thread_ids: Iterable[str] | None = None) -> Iterator[str]:
    """A line of JSON for each run, then for each checkpoint, the newest first.

    A run is ``{"kind": "run", …}`` with the fields of a `RunRecord`; a checkpoint ``{"kind": "checkpoint",
    "thread", "namespace", "checkpoint_id", "parent_id", "ts", "metadata", "versions", "values", "writes"}``,
    its writes ``[{"task", "channel", "value"}]``. No type of a value is built: a message is given as its
    fields, bytes as ``{"base64": …}``. This is for reading: what JSON has no notation for is given as text.

    Raises
    ------
    CheckpointError
        `thread_ids` is a text, and no list of them.
    """
    from dalsegno.checkpoints.ledger import Ledger
    from dalsegno.checkpoints.opening import open_checkpointer

    check_names(thread_ids, "thread_ids")
    chosen = None if thread_ids is None else [str(each) for each in thread_ids]
    ledger = Ledger(database, PlainReader())
    for thread in chosen if chosen is not None else [None]:
        for run in ledger.runs(thread=thread):
            yield _line({"kind": "run", **asdict(run)})
    saver = open_checkpointer(database, serde=PlainReader())
    for thread in chosen if chosen is not None else [None]:
        config: Any = None if thread is None else {"configurable": {"thread_id": thread}}
        for found in saver.list(config):
            place = found.config["configurable"]
            parent = found.parent_config
            yield _line(
                {
                    "kind": "checkpoint",
                    "thread": place["thread_id"],
                    "namespace": place["checkpoint_ns"],
                    "checkpoint_id": place["checkpoint_id"],
                    "parent_id": parent["configurable"]["checkpoint_id"] if parent else None,
                    "ts": found.checkpoint.get("ts"),
                    "metadata": found.metadata,
                    "versions": found.checkpoint["channel_versions"],
                    "values": found.checkpoint["channel_values"],
                    "writes": [
                        {"task": task, "channel": channel, "value": value}
                        for task, channel, value in found.pending_writes or ()
                    ],
                }
            )


def _line(record: dict[str, Any]) -> str:
    return json.dumps(_plain(record), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)  # Python's word for it, which other programs do not read as a number
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (bytes, bytearray)):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(one) for one in value]
    model_dump = getattr(value, "model_dump", None)
    return _plain(model_dump()) if model_dump is not None else str(value)
