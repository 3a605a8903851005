"""Who answers when the node cannot."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dalsegno.errors import DefinitionError
from dalsegno.nodes.execution import is_for_nobody, note_caught
from dalsegno.nodes.policies.case import AsyncCall, Call, Case, ErrorFilter, check_filter, is_fault, matches
from dalsegno.nodes.policies.words import in_words, noted, words_of


@dataclass(frozen=True)
class FromError:
    """A fallback's last answer, made of the failure: ``make(argument, error)``.

    It calls nothing and is no attempt. It stands for every error that a fallback deals with, whatever its `on` says.
    """

    make: Callable[[Any, Exception], Any]

    def __repr__(self) -> str:
        return str(getattr(self.make, "__name__", "from the error"))


class Fallback:
    """Other answers, tried in order when a call has failed for good.

    Parameters
    ----------
    *answers
        Each is a function, a player or another LangChain runnable, called with the node's input; or a constant,
        returned as it is; or a `FromError`.
    on
        Which errors are answered: exception classes, or a function of the error. None: any `Exception` except a
        breach of what the workflow declares (`KernelError`, which includes an exceeded budget).

    Example
    -------
    >>> def quick(state): return {"text": "short"}
    >>> Fallback(quick, {"text": ""})
    Fallback(quick, {'text': ''})
    """

    def __init__(self, *answers: Any, on: ErrorFilter | None = None) -> None:
        if not answers:
            raise DefinitionError("Fallback(): name at least one other answer, a function or a constant.")
        check_filter("Fallback(on)", on)
        for answer in answers:
            if hasattr(answer, "add_conditional_edges") or hasattr(answer, "waiting_edges"):
                raise DefinitionError(
                    f"Fallback({answer!r}): a workflow cannot stand here. Make it a node, and lead to it with an "
                    "error handler."
                )
        self.answers = answers
        self.on = on

    @property
    def calls(self) -> int:
        """How many of the answers are called."""
        return sum(1 for answer in self.answers if is_called(answer))

    def __repr__(self) -> str:
        return f"Fallback({', '.join(name_of(answer) for answer in self.answers)})"


def is_called(answer: Any) -> bool:
    """Whether an answer is called, or a constant."""
    return callable(answer) or hasattr(answer, "invoke")


def name_of(answer: Any) -> str:
    """An answer in words."""
    if not is_called(answer):
        return repr(answer)
    name = getattr(answer, "name", None) if not inspect.isroutine(answer) else None
    if getattr(answer, "__name__", None) == "<lambda>":
        code = inspect.unwrap(answer).__code__
        return f"the lambda at {Path(code.co_filename).name}:{code.co_firstlineno}"
    return str(name or getattr(answer, "__name__", None) or type(answer).__name__)


def fallback_of(given: Any) -> Fallback | None:
    """`fallback=` as given: a `Fallback`, or one other answer."""
    return given if given is None or isinstance(given, Fallback) else Fallback(given)


class FallbackLayer:
    """Asks the other answers. `calls` are those that are called, ready to be; None stands for a constant."""

    def __init__(self, policy: Fallback, calls: Sequence[Call | AsyncCall | None]) -> None:
        self._policy = policy
        self._others = [
            (name_of(answer), answer, call) for answer, call in zip(policy.answers, calls, strict=True)
        ]

    def around(self, inner: Call) -> Call:
        def call(case: Case) -> Any:
            try:
                return inner(case)
            except Exception as error:
                if not self._falls(error):
                    raise
                failed: Exception = error
            first = failed
            for name, answer, other in self._for(first):
                try:
                    if other is None:
                        result = _constant(answer, case, failed)
                    else:
                        self._next(case, failed)
                        result = other(case)
                except Exception as error:
                    failed = self._fell(error, failed, first, name)
                else:
                    return self._answered(case, name, answer, first, result)
            raise failed

        return call

    def aaround(self, inner: AsyncCall) -> AsyncCall:
        async def acall(case: Case) -> Any:
            try:
                return await inner(case)
            except Exception as error:
                if not self._falls(error):
                    raise
                failed: Exception = error
            first = failed
            for name, answer, other in self._for(first):
                try:
                    if other is None:
                        result = _constant(answer, case, failed)
                    else:
                        self._next(case, failed)
                        result = await other(case)
                except Exception as error:
                    failed = self._fell(error, failed, first, name)
                else:
                    return self._answered(case, name, answer, first, result)
            raise failed

        return acall

    def _falls(self, error: Exception) -> bool:
        return is_fault(error) and bool(self._for(error)) and not is_for_nobody()

    def _for(self, error: Exception) -> list[tuple[str, Any, Call | AsyncCall | None]]:
        """The answers that are meant for an error."""
        if matches(self._policy.on, error):
            return self._others
        return [other for other in self._others if isinstance(other[1], FromError)]

    def _next(self, case: Case, failed: Exception) -> None:
        if case.again is not None:
            case.again(failed)
        case.deadline = None  # the total was that of the attempts before

    def _fell(self, error: Exception, before: Exception, first: Exception, name: str) -> Exception:
        """The error that stands now; raises it where it is not for a fallback to deal with."""
        if error is not before:
            with contextlib.suppress(Exception):  # an error that cannot be written to is told as it is
                error.__cause__ = before
            noted(error, f"The fallback {name} failed too; it was asked because of {in_words(first)}")
        if not is_fault(error):
            raise error
        return error

    def _answered(self, case: Case, name: str, answer: Any, first: Exception, result: Any) -> Any:
        case.keep = False
        by: str | None = name
        if isinstance(answer, FromError):
            by = None  # nobody was asked
            note_caught(first)
        case.acted("fallback", "answered", by=by, error=type(first).__name__, message=words_of(first))
        return result


def _constant(answer: Any, case: Case, failed: Exception) -> Any:
    return answer.make(case.args[0], failed) if isinstance(answer, FromError) else copy.deepcopy(answer)


def as_function(answer: Any) -> Callable[..., Any]:
    """A runnable's or a function's plain call, for a wrapped plain function."""
    function: Callable[..., Any] = answer.invoke if hasattr(answer, "invoke") else answer
    return function
