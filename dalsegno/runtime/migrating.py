"""The state of a thread, brought from the version of the workflow that wrote it to today's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dalsegno.errors import InputInvalid, did_you_mean
from dalsegno.graphs.model import START
from dalsegno.nodes.policies.words import in_words
from dalsegno.nodes.secrets import Secrets, secret_keys
from dalsegno.runtime.equality import is_same

if TYPE_CHECKING:
    from langgraph.checkpoint.base import CheckpointTuple

    from dalsegno.checkpoints import Checkpointer, RunRecord
    from dalsegno.graphs.definitions import Migration

Steps = Sequence[tuple[str, "Migration"]]

_OURS = ("branch:to:", "join:", "__")
"""How channels begin that are no state keys."""

MIGRATED = "migrated"
"""Where a checkpoint's metadata keep the versions that its state went through since it was written."""


def steps_from(version: str, migrations: Steps) -> Steps:
    """The migrations that lead from that version on; none where none begins there."""
    versions = [known for known, _ in migrations]
    return migrations[versions.index(version) :] if version in versions else ()


def state_in(kept: CheckpointTuple) -> dict[str, Any]:
    """The state keys and values of a checkpoint."""
    values = kept.checkpoint["channel_values"]
    return {key: value for key, value in values.items() if not key.startswith(_OURS)}


def migrated(
    kept: CheckpointTuple, steps: Steps, graph: Any, before: RunRecord | None = None
) -> dict[str, Any]:
    """The state of a checkpoint after these migrations, the last of which gives that of a compiled graph.

    `before` is the thread's last run, whose shape says what was secret in the state. Before a thread's first input is
    in its state there is nothing to migrate.

    Raises
    ------
    InputInvalid
        A migration raised, gave no mapping, or a key that the state does not have; the checkpoint stays as it was.
    """
    values, thread = state_in(kept), kept.config["configurable"]["thread_id"]
    if not values and START in kept.checkpoint["channel_values"]:
        return {}
    for version, function in steps:
        try:
            made = function(dict(values))
        except Exception as error:
            was = secret_keys(before.shape if before is not None else None)
            secrets = Secrets((*graph.builder.schemas, was))
            secrets.learn(values)
            raise InputInvalid(
                f"The migration from version {version} raised {secrets.text(in_words(error))}. The state of thread "
                f"{thread!r} was left as it is; mend the migration and try again.",
                key=None,
                expected="state",
            ) from error
        if not isinstance(made, Mapping):
            raise InputInvalid(
                f"The migration from version {version} gave {type(made).__name__}, and a mapping of all state keys "
                f"is expected. The state of thread {thread!r} was left as it is.",
                key=None,
                expected="mapping",
            )
        values = dict(made)
    known = [key for key in graph.channels if not key.startswith(_OURS)]
    for key in values:
        if key not in known:  # LangGraph would drop it
            raise InputInvalid(
                f"The migration from version {steps[-1][0]} gave the key `{key}`, which the state does not have"
                f"{did_you_mean(str(key), known) or '.'} It has {', '.join(f'`{k}`' for k in known)}. The state of "
                f"thread {thread!r} was left as it is.",
                key=str(key),
                expected="a state key",
            )
    return values


def version_at(checkpointer: Checkpointer, mark: CheckpointTuple, last: str) -> str:
    """The version of the state in a checkpoint, of a thread whose runs know `last` as theirs."""
    if through := _through(mark):
        return through[-1]
    thread = mark.config["configurable"]["thread_id"]
    # The first one behind it that was migrated was of its version before.
    for kept in checkpointer.list({"configurable": {"thread_id": thread, "checkpoint_ns": ""}}):
        if kept.checkpoint["id"] <= mark.checkpoint["id"]:
            break
        last = next(iter(_through(kept)), last)
    return last


def _through(kept: CheckpointTuple) -> Sequence[str]:
    metadata: Mapping[str, Any] = kept.metadata
    versions: Sequence[str] = metadata.get(MIGRATED, ())
    return versions


def store(
    checkpointer: Checkpointer, kept: CheckpointTuple, state: Mapping[str, Any], before: str, after: str
) -> None:
    """Put the state of version `after` into a checkpoint, in place of the one of version `before` that it holds; what
    is pending there stays pending."""
    checkpoint = dict(kept.checkpoint)
    others = {key: value for key, value in kept.checkpoint["channel_values"].items() if key.startswith(_OURS)}
    versions = dict(kept.checkpoint["channel_versions"])
    latest: Any = max(versions.values(), default=None)
    following: Any = checkpointer.get_next_version(latest, None)
    old = state_in(kept)
    for key in old.keys() | state.keys():
        if key not in state:
            versions.pop(key, None)
        elif key not in old or not is_same(old[key], state[key]):
            versions[key] = following
    checkpoint["channel_values"] = {**others, **state}
    checkpoint["channel_versions"] = versions
    place = kept.config["configurable"]
    config: Any = {
        "configurable": {
            "thread_id": place["thread_id"],
            "checkpoint_ns": place.get("checkpoint_ns", ""),
        }
    }
    if kept.parent_config:
        config["configurable"]["checkpoint_id"] = kept.parent_config["configurable"]["checkpoint_id"]
    metadata: Any = {**kept.metadata, MIGRATED: [*(_through(kept) or (before,)), after]}
    checkpointer.put(config, checkpoint, metadata, versions)  # type: ignore[arg-type]  # a Checkpoint with other values
