"""The states of a run, checkpoint by checkpoint, as lines of text that may be shown."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dalsegno.graphs.views import KERNEL
from dalsegno.nodes.secrets import Secrets
from dalsegno.runtime.equality import is_same
from dalsegno.runtime.marks import first_step
from dalsegno.viz.overlay import StateAt

if TYPE_CHECKING:
    from dalsegno.checkpoints import Checkpointer, RunRecord

MOST_CHARACTERS = 2000
"""Of one line of a value; what is longer is cut, and says so."""
MOST_LINES = 2000
"""Of one value."""
_OURS = ("__", "branch:to:", "join:", "dalsegno")


def states_of(
    checkpointer: Checkpointer, run: RunRecord, secrets: Secrets | None = None, *, limit: int = 2000
) -> tuple[StateAt, ...]:
    """The states of the outermost workflow, from the run's input on; at most the last `limit`.

    Parameters
    ----------
    checkpointer
        Reads the checkpoints; it has to know the types of the state.
    run
        The run.
    secrets
        Masks the fields that are marked; their values are remembered for other texts.
    limit
        How many checkpoints are read.

    Raises
    ------
    DalsegnoError
        A value has a type that the checkpointer does not know.
    """
    secrets = secrets or Secrets()
    config: Any = {"configurable": {"thread_id": run.thread, "checkpoint_ns": ""}}
    found = []
    for kept in checkpointer.list(config, filter={"run_id": run.run_id}, limit=limit):
        metadata: Mapping[str, Any] = kept.metadata or {}
        channels = kept.checkpoint["channel_values"]
        values = {k: v for k, v in channels.items() if not k.startswith(_OURS)}
        used = _used(channels.get(KERNEL), run.run_id)
        place = (metadata.get("step", 0), used, str(kept.config["configurable"]["checkpoint_id"]))
        found.append((*place, values))
    found.reverse()
    for *_, values in found:
        secrets.learn(values)
    lines = _Lines(secrets)
    plain = all(used is None for _, used, _, _ in found)  # a graph without our kernel
    first = first_step(checkpointer, run) if plain else 0
    return tuple(
        StateAt(max(0, step - first) if plain else used or 0, lines.of(values), checkpoint)
        for step, used, checkpoint, values in found
    )


def _used(record: Any, run_id: str) -> int | None:
    """After how many supersteps a checkpoint was written, as the run itself counted them: it may have begun at a
    fork, its first checkpoints may be pruned, and a state that was set by hand is none of its supersteps."""
    if not record:
        return None
    return int(record["used"]) if record["run"] == run_id else 0


class _Lines:
    """Values as lines; what is the same as in the state before is not written again."""

    def __init__(self, secrets: Secrets) -> None:
        self.secrets = secrets
        self.before: dict[str, tuple[Any, tuple[str, ...]]] = {}

    def of(self, values: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        shown = self.secrets.state(dict(values))
        known = {key: self._key(key, value) for key, value in shown.items()}
        self.before = known
        return {key: lines for key, (_, lines) in known.items()}

    def _key(self, key: str, value: Any) -> tuple[Any, tuple[str, ...]]:
        old, lines = self.before.get(key, (None, ()))
        if old is value or (lines and type(old) is type(value) and is_same(old, value)):
            return old, lines
        if isinstance(value, list) and isinstance(old, list) and len(lines) == len(old) <= len(value):
            same = _common(old, value)
            return value, self._safe((*lines[:same], *map(line_of, value[same:])))
        return value, self._safe(lines_of(value))

    def _safe(self, lines: Iterable[str]) -> tuple[str, ...]:
        kept = tuple(map(self.secrets.text, lines))
        more = len(kept) - MOST_LINES
        return kept if more <= 0 else (*kept[:MOST_LINES], f"… {more:,} more")


def _common(old: Sequence[Any], new: Sequence[Any]) -> int:
    """How many elements at the beginning are the same."""
    for i, (a, b) in enumerate(zip(old, new, strict=False)):
        if not is_same(a, b):
            return i
    return min(len(old), len(new))


def lines_of(value: Any) -> Iterator[str]:
    """A value as lines: a text by its lines, a list by its elements, a mapping or an object by its fields."""
    fields = _fields(value)
    if isinstance(value, str):
        yield from map(_cut, value.split("\n"))
    elif isinstance(value, list | tuple | set | frozenset):
        yield from map(line_of, value) if len(value) else ["[]"]
    elif fields is not None:
        for name, part in fields.items():
            yield _cut(f"{name}: {_text(part)}")
        if not fields:
            yield "{}"
    else:
        yield line_of(value)


def line_of(value: Any) -> str:
    """A value in one line."""
    return _cut(_text(value))


def _text(value: Any) -> str:
    kind, content = getattr(value, "type", None), getattr(value, "content", None)
    if isinstance(kind, str) and isinstance(content, str):  # a message
        return f"{kind}: {content}"
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain)
    except (TypeError, ValueError, RecursionError):
        return _spoken(value)


def _plain(value: Any) -> Any:
    fields = _fields(value)
    return dict(fields) if fields is not None else _spoken(value)


def _spoken(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # a user's __repr__ may do anything
        return f"<{type(value).__name__}, whose repr fails: {type(error).__name__}>"


def _fields(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, Mapping):
        return {str(key): part for key, part in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)}
    models = getattr(type(value), "model_fields", None)
    return {name: getattr(value, name, None) for name in models} if isinstance(models, Mapping) else None


def _cut(text: str) -> str:
    line = text.replace("\r", " ").replace("\n", " ⏎ ")
    more = len(line) - MOST_CHARACTERS
    return line if more <= 0 else f"{line[:MOST_CHARACTERS]}… ({more:,} more characters)"
