"""Failures that raise nothing: an answer of nothing, and the same answer again and again."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dalsegno.errors import DefinitionError, EmptyAnswer, RepeatedAnswer
from dalsegno.nodes.execution import CURRENT, Execution
from dalsegno.nodes.policies.case import AsyncCall, Call, Case, number
from dalsegno.nodes.policies.digest import digest


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Turns silent failures into failed attempts, so that a retry or a fallback deals with them.

    Parameters
    ----------
    empty
        Whether an empty answer raises `EmptyAnswer`: no update at all, or nothing in any of the keys that the node
        declares to write. None, an empty text or collection, and a message without content and tool calls are
        nothing.
    repeats
        The same answer this many times in a row, in one run, raises `RepeatedAnswer`: the loop gets nowhere. Counted
        in a run of a `Runner`, by each process anew. None: not counted.
    """

    empty: bool = True
    repeats: int | None = None

    def __post_init__(self) -> None:
        if self.repeats is not None:
            number("Watch(repeats)", self.repeats, least=2, whole=True)
        if not self.empty and self.repeats is None:
            raise DefinitionError("Watch(empty=False): nothing is watched. Say `repeats=`, or leave it out.")


class WatchLayer:
    """Looks at each answer; `writes` are the keys that the node declares to write, None where it does not."""

    def __init__(self, policy: Watch, writes: frozenset[str] | None = None) -> None:
        self._policy = policy
        self._writes = writes
        self._lock = threading.Lock()
        self._seen: weakref.WeakKeyDictionary[Any, dict[tuple[str, ...], tuple[str, int]]] = (
            weakref.WeakKeyDictionary()
        )

    def around(self, inner: Call) -> Call:
        return lambda case: self._looked(case, inner(case))

    def aaround(self, inner: AsyncCall) -> AsyncCall:
        async def acall(case: Case) -> Any:
            return self._looked(case, await inner(case))

        return acall

    def _looked(self, case: Case, answer: Any) -> Any:
        if self._policy.empty and self._is_nothing(answer):
            case.acted("watch", "empty")
            keys = ", ".join(f"`{key}`" for key in sorted(self._writes or ()))
            raise EmptyAnswer(
                f"`{case.name}` answered nothing{' for ' + keys if keys else ''}: {answer!r}. Give it a `retry` or a "
                "`fallback`, or mend what it asks.",
                node=case.name,
            )
        if self._policy.repeats is not None:
            self._count(case, answer, self._policy.repeats)
        return answer

    def _is_nothing(self, answer: Any) -> bool:
        if type(answer) is dict:  # as most are
            return self._part_is_nothing(answer)
        parts = answer if isinstance(answer, list) and answer else [answer]
        if any(hasattr(part, "goto") and part.goto for part in parts) and not self._writes:
            return False  # a decision is an answer
        return all(self._part_is_nothing(part.update if hasattr(part, "goto") else part) for part in parts)

    def _part_is_nothing(self, part: Any) -> bool:
        if not isinstance(part, Mapping):
            return is_nothing(part)
        keys = self._writes if self._writes is not None else part.keys()
        for key in keys:  # noqa: SIM110 - every node pays for it, and a generator takes twice as long
            if not is_nothing(part.get(key)):
                return False
        return True

    def _count(self, case: Case, answer: Any, limit: int) -> None:
        execution = CURRENT.get()
        if execution is None or execution.context is None or execution.index is not None:
            return
        try:
            mark = digest(_said(answer))
        except Exception:  # what cannot be compared is not compared
            return
        times = self._times(execution, mark)
        if times >= limit:
            case.acted("watch", "repeated", times=times)
            raise RepeatedAnswer(
                f"`{case.name}` gave the same answer {times} times in a row: {_short(answer)}. The loop gets nowhere: "
                "let its router leave, or change what the node is asked.",
                node=case.name,
                times=times,
            )

    def _times(self, execution: Execution, mark: str) -> int:
        with self._lock:
            seen = self._seen.setdefault(execution.context, {})
            last, times = seen.get(execution.path, ("", 0))
            times = times + 1 if mark == last else 1
            seen[execution.path] = (mark, times)
        return times


_COLLECTIONS = (dict, list, tuple, set, frozenset, Mapping)


def is_nothing(value: Any) -> bool:
    """Whether a value says nothing: None, an empty text or collection, a message without content and tool calls.

    >>> is_nothing("  "), is_nothing([]), is_nothing(0), is_nothing(False)
    (True, True, False, False)
    """
    if value is None:
        return True
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, int | float):
        return False
    if isinstance(value, _COLLECTIONS):
        return not value or (isinstance(value, list) and all(_is_blank_message(v) for v in value))
    return _is_blank_message(value)


def _is_blank_message(value: Any) -> bool:
    return (
        hasattr(value, "content")
        and hasattr(value, "type")
        and not getattr(value, "tool_calls", None)
        and (is_nothing(value.content))
    )


def _said(value: Any) -> Any:
    """What is said in an answer: models give each message, and each call of a tool in it, an id of its own."""
    if isinstance(value, Mapping):
        return {key: _said(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_said(part) for part in value]
    if hasattr(value, "goto") and hasattr(value, "update"):
        return [_said(value.update), value.goto]
    if hasattr(value, "content") and hasattr(value, "type"):
        calls = getattr(value, "tool_calls", None) or ()
        blocks = value.content if isinstance(value.content, list) else [value.content]
        content = [{**block, "id": None} if isinstance(block, dict) else block for block in blocks]
        return [value.type, content, [[call.get("name"), call.get("args")] for call in calls]]
    return value


def _short(answer: Any) -> str:
    text = repr(answer)
    return text if len(text) <= 200 else f"{text[:197]}..."


def watch_of(given: Any) -> Watch | None:
    """`watch=` as given: a `Watch`, or True for one without options."""
    if given is None or given is False or isinstance(given, Watch):
        return given or None
    if given is True:
        return Watch()
    raise DefinitionError(f"watch={given!r}: a Watch(empty=..., repeats=...) is needed.")
