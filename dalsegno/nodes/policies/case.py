"""One call on its way through the policies, and what they have in common."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dalsegno.errors import DefinitionError, KernelError
from dalsegno.nodes.execution import CURRENT
from dalsegno.nodes.policies.words import in_words, noted

ErrorFilter = type[BaseException] | Sequence[type[BaseException]] | Callable[[Any], bool]
"""Exception classes, or a function that says whether an error is meant."""


@dataclass(frozen=True)
class Action:
    """What a policy did: `policy` (``"retry"``), `what` (``"again"``), and figures in `detail`."""

    policy: str
    what: str
    name: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Case:
    """One call: of a node (`args` are its argument and LangGraph's config) or of a plain function.

    `deadline` is when the attempts must be over, on the clock of the timeout. `again` ends an attempt of the node,
    whose error it is given, and begins a further one; `ended` and `begun` do either, where a pause lies between.
    `store` is LangGraph's store where the graph has one. `keep` says that the answer is
    worth keeping: the node's own, and one that it may give. `fenced` says that somebody reads the stream that
    the call may write to, so that it must not once it is abandoned.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    store: Any = None
    deadline: float | None = None
    listener: Callable[[Action], None] | None = None
    again: Callable[[Exception], None] | None = None
    ended: Callable[[Exception], None] | None = None
    begun: Callable[[], None] | None = None
    walk: int = 0
    keep: bool = True
    fenced: bool = False

    def acted(self, policy: str, what: str, **detail: Any) -> None:
        """Tell the run's listeners, and this call's own, what a policy did."""
        execution = CURRENT.get()
        if execution is not None and execution.context is not None:
            execution.context.acted(execution, policy, what, detail)
        if self.listener is not None:
            self.listener(Action(policy, what, self.name, detail))


Call = Callable[[Case], Any]
AsyncCall = Callable[[Case], Awaitable[Any]]


class Layer(Protocol):
    """One policy around a call, in both colours."""

    def around(self, inner: Call) -> Call:
        """The call with this policy around it."""
        ...

    def aaround(self, inner: AsyncCall) -> AsyncCall:
        """The same in an event loop."""
        ...


def is_signal(error: BaseException) -> bool:
    """Whether it is one of LangGraph's own signals (an interrupt, a parent's command), which every policy lets pass."""
    module = sys.modules.get("langgraph.errors")  # where it is not loaded there is no signal
    return module is not None and isinstance(error, module.GraphBubbleUp)


def is_fault(error: BaseException) -> bool:
    """Whether it is for a policy to deal with: no signal, no cancellation, no breach of what is declared."""
    if not isinstance(error, Exception) or isinstance(error, KernelError | DefinitionError):
        return False
    return not is_signal(error)


def matches(which: ErrorFilter | None, error: BaseException) -> bool:
    """Whether a filter means this error; None means every one."""
    if which is None:
        return True
    if isinstance(which, type):
        return isinstance(error, which)
    if isinstance(which, Sequence):
        return isinstance(error, tuple(which))
    try:
        return bool(which(error))
    except Exception as raised:
        name = getattr(which, "__name__", repr(which))
        noted(raised, f"`{name}` raised this when a policy asked whether it means {in_words(error)}")
        raise


def check_filter(owner: str, which: Any) -> None:
    """Refuse what is no filter of errors."""
    classes = which if isinstance(which, Sequence) else [which]
    if which is None or (not isinstance(which, type) and callable(which)):
        return
    if not classes or not all(isinstance(c, type) and issubclass(c, BaseException) for c in classes):
        raise DefinitionError(f"{owner}={which!r}: exception classes, or a function of the error.")
    signals = [c.__name__ for c in classes if not issubclass(c, Exception) and c is not BaseException]
    if signals:
        raise DefinitionError(
            f"{owner}: {signals[0]} ends the process, and is never a failure to a policy. Leave it out."
        )


def number(
    owner: str, value: Any, *, above: float | None = None, least: float | None = None, whole: bool = False
) -> None:
    """Refuse what is no number in its range."""
    kinds: tuple[type, ...] = (int,) if whole else (int, float)
    good = isinstance(value, kinds) and not isinstance(value, bool) and value == value
    good = good and (above is None or value > above) and (least is None or value >= least)
    if not good:
        kind = "a whole number" if whole else "a number"
        limit = (
            f" above {above:g}" if above is not None else f", {least:g} or more" if least is not None else ""
        )
        raise DefinitionError(f"{owner}={value!r}: {kind}{limit} is needed.")
