"""A script and the calls that play it: who got which entry, and what was not as the script says."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

from langchain_core.messages import BaseMessage

from dalsegno.errors import DefinitionError, ScriptNotFollowed
from dalsegno.testing.scripted.entries import Expectation, Reply, replies, reply_of, shown


@dataclass(frozen=True)
class Call:
    """One call of a scripted model: its number from 1, the messages, the bound tools in OpenAI's form, the rest."""

    number: int
    messages: tuple[BaseMessage, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The texts of all messages, a line each: what `expect="..."` is looked for in."""
        return "\n".join(str(message.text) for message in self.messages)

    @property
    def tool_names(self) -> tuple[str, ...]:
        """The names of the bound tools."""
        return tuple(tool_name(tool) for tool in self.tools)


def tool_name(tool: Mapping[str, Any]) -> str:
    """The name of a tool in OpenAI's form; of a built-in one, its type."""
    return str((tool.get("function") or tool).get("name") or tool.get("type", ""))


class Script:
    """The entries of a script, taken one a call by any number of threads.

    There is one for a model and all its copies and bindings.
    """

    def __init__(self, entries: Any, *, then: Any, ordered: bool, server: bool) -> None:
        self._server = server
        self._entries = list(enumerate(replies(entries, server=server), 1))
        self._length = len(self._entries)
        self._then = None if then is None else reply_of(then, "`then`", server=server)
        self._ordered = ordered
        self._calls: list[Call] = []
        self._broken: ScriptNotFollowed | None = None
        self._lock = threading.RLock()

    def __copy__(self) -> Script:
        return self

    def __deepcopy__(self, memo: object) -> Script:
        return self

    def __repr__(self) -> str:
        return f"<script of {self._length} answers, {len(self._entries)} left>"

    @property
    def calls(self) -> tuple[Call, ...]:
        """All calls until now, in the order in which they came."""
        with self._lock:
            return tuple(self._calls)

    def take(self, make: Callable[[int], Call]) -> tuple[Call, Reply]:
        """Record a call and give it its entry; `make` makes the call from its number."""
        with self._lock:
            call = make(len(self._calls) + 1)
            self._calls.append(call)
            with self.watching(call, Exception):
                reply = self._next(call)
        with self.watching(call, Exception):
            self._expected(call, reply)
        return call, reply

    def _next(self, call: Call) -> Reply:
        if self._entries and self._ordered:
            return self._entries.pop(0)[1]
        for entry in self._entries:
            if _met(entry[1].expect, call):
                self._entries.remove(entry)
                return entry[1]
        if self._then is not None:
            return self._then
        raise self._unfit(call) if self._entries else self._exhausted(call)

    def follow(self, call: Call, function: Reply, answer: Any) -> Reply:
        """What a function of the script returned, as a reply; what it does not say is as `function` says."""
        if inspect.isawaitable(answer):
            if inspect.iscoroutine(answer):
                answer.close()
            raise DefinitionError(
                f"{function} is async, and the model was called synchronously. Call it with ainvoke or astream, "
                f"or write a plain function."
            )
        reply = reply_of(answer, f"What {function} returned", server=self._server)
        if isinstance(answer, Reply):
            self._expected(call, reply)
            return reply
        return Reply(reply.answer, pause=function.pause, usage=function.usage, check=function.check)

    def fail(self, call: Call, reason: str, why: str, **data: Any) -> NoReturn:
        """Raise `ScriptNotFollowed`."""
        raise ScriptNotFollowed(
            f"Call {call.number} of the model: {why}", reason=reason, call=call.number, **data
        )

    @contextmanager
    def watching(self, call: Call, *errors: type[Exception]) -> Iterator[None]:
        """Remember for `assert_done` what is raised inside: failed assertions, bad scripts, and `errors`."""
        kinds: tuple[type[Exception], ...] = (AssertionError, DefinitionError, *errors)
        try:
            yield
        except kinds as error:
            self.failed(error, call)
            raise

    def failed(self, error: Exception, call: Call) -> ScriptNotFollowed:
        """Remember an error, as one of the script; the first one is what `assert_done` raises."""
        if isinstance(error, ScriptNotFollowed):
            failure = error
        else:
            failure = ScriptNotFollowed(
                f"Call {call.number} of the model: the script raised {type(error).__name__}: {error}",
                reason="failed",
                call=call.number,
            )
            failure.__cause__ = error
        with self._lock:
            if self._broken is None:
                self._broken = failure
        return failure

    def assert_done(self) -> None:
        """See `ScriptedChatModel.assert_done`."""
        with self._lock:
            if self._broken is not None:
                raise self._broken
            if self._entries:
                left = ", ".join(f"{number} ({reply})" for number, reply in self._entries[:5])
                more = f" and {len(self._entries) - 5} more" if len(self._entries) > 5 else ""
                raise ScriptNotFollowed(
                    f"{len(self._entries)} of {self._length} answers of the script are left over after "
                    f"{len(self._calls)} calls: {left}{more}. Fewer calls were made than the script expects.",
                    reason="left over",
                    call=None,
                )

    def _expected(self, call: Call, reply: Reply) -> None:
        if _met(reply.expect, call):
            return
        wanted = reply.expect
        texts = [wanted] if isinstance(wanted, str) else wanted if not callable(wanted) else None
        missing = shown(wanted) if texts is None else [t for t in texts or () if t not in call.text]
        why = (
            f"the prompt is not what the script expects: {missing} does not hold"
            if texts is None
            else f"the prompt does not contain {', '.join(map(repr, missing))}, as the script expects"
        )
        self.fail(call, "unexpected prompt", f"{why}. {_last(call)}")

    def _exhausted(self, call: Call) -> ScriptNotFollowed:
        has = f"its {self._length} answers have" if self._length != 1 else "its only answer has"
        return ScriptNotFollowed(
            f"Call {call.number} of the model: the script is exhausted; {has} been played. "
            f"Add an answer, or `then=` for all later calls. {_last(call)}",
            reason="exhausted",
            call=call.number,
        )

    def _unfit(self, call: Call) -> ScriptNotFollowed:
        left = "; ".join(f"{number} expects {shown(reply.expect)}" for number, reply in self._entries[:5])
        return ScriptNotFollowed(
            f"Call {call.number} of the model: none of the {len(self._entries)} answers that are left fits the prompt: "
            f"{left}. {_last(call)}",
            reason="unexpected prompt",
            call=call.number,
        )


def _met(expect: Expectation | None, call: Call) -> bool:
    if expect is None:
        return True
    if callable(expect):
        return bool(expect(list(call.messages)))
    texts: Sequence[str] = [expect] if isinstance(expect, str) else expect
    return all(text in call.text for text in texts)


def _last(call: Call, count: int = 3) -> str:
    """The last messages of a call, for an error."""
    lines = []
    for message in call.messages[-count:]:
        text = str(message.text)
        calls = "".join(f" calls {c['name']}({c['args']})" for c in getattr(message, "tool_calls", ()))
        lines.append(f"\n  {message.type}: {text if len(text) <= 200 else f'{text[:199]}…'}{calls}")
    return (
        f"The last of {len(call.messages)} messages:{''.join(lines)}" if lines else "There are no messages."
    )
