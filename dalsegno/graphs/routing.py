"""From a router's answer to the edges that are taken: declared, counted, and nothing else.

One `Router` stands for one router of one node, or for a node's `destinations`. It resolves labels to
targets, follows spent loops to their `on_exhausted`, stamps sends, and refuses what is not declared.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from langgraph.types import Send

from dalsegno.errors import UndeclaredTarget, did_you_mean
from dalsegno.graphs.model import END, Each, Loop, Target, counter_name, text_of
from dalsegno.nodes.execution import Taken

SEND = "__dalsegno_send__"
"""The key under which a stamped `Send` carries where it comes from."""


@dataclass
class Decision:
    """What one node decided in one superstep: where to go, and what its counters are then.

    `counts` are the run's loop counters before; `spent` the counters that this decision changed; `said` what was
    answered: the same answer twice is one, as LangGraph runs a node once a superstep.
    """

    counts: Mapping[str, int]
    goto: list[str | Send] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    spent: dict[str, int] = field(default_factory=dict)
    said: set[tuple[str | None, Hashable]] = field(default_factory=set)

    def is_new(self, router: str | None, answer: Hashable) -> bool:
        """Whether that router has not given that answer in this decision; now it has."""
        before = len(self.said)
        self.said.add((router, answer))
        return len(self.said) > before

    def take(self, source: str, router: str | None, label: str | None, target: str | Loop) -> None:
        """Take an edge, or its loop's `on_exhausted` when the loop is spent."""
        counter = None
        while isinstance(target, Loop):
            counter = counter_name(source, router, label, target.target)
            used = self.spent.get(counter, self.counts.get(counter, 0))
            if used < target.max:
                self.spent[counter] = used + 1
                target = target.target
                break
            if target.on_exhausted is None:  # refused when compiled (T102)
                raise AssertionError(f"loop {counter} has no way out")
            counter, target = None, target.on_exhausted
        self.goto.append(target)
        self.taken.append(Taken(target, label, counter))


@dataclass(frozen=True)
class Router:
    """One router's declared answers.

    `answers` maps what the router may return to a target; `each` names the nodes it may send to, with
    the most sends in one decision. `router` is None for a node's own destinations, and for those of its error handler
    (`of_handler`). `aliases` are the names that the graph uses for nodes the router calls otherwise, in a run that
    goes on under old names.
    """

    source: str
    router: str | None
    answers: Mapping[Hashable, str | Loop]
    each: Mapping[str, int | None]
    many: bool
    empty_allowed: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)
    of_handler: bool = False

    @cached_property
    def labels(self) -> Mapping[Hashable, str]:
        """What each answer is called: as it was declared, also where a router gives one that only equals it, as a
        member of an Enum of texts equals its text."""
        return {answer: text_of(answer) for answer in self.answers}

    @staticmethod
    def of(
        source: str,
        router: str | None,
        targets: Mapping[Hashable, Target],
        *,
        many: bool,
        empty_allowed: bool = False,
        aliases: Mapping[str, str] | None = None,
    ) -> Router:
        """A router from its declaration ``{answer: target}``."""
        each = {t.target: t.max for t in targets.values() if isinstance(t, Each)}
        answers = {a: t for a, t in targets.items() if not isinstance(t, Each)}
        return Router(source, router, answers, each, many, empty_allowed, aliases or {})

    @property
    def owner(self) -> str:
        """The router in words."""
        if self.router:
            return f"the router `{self.router}` of `{self.source}`"
        return f"the error handler of `{self.source}`" if self.of_handler else f"node `{self.source}`"

    def decide(self, answer: Any, decision: Decision, stamp: Mapping[str, Any] | None) -> None:
        """Add what the answer means to the decision.

        Raises
        ------
        UndeclaredTarget
            The answer is not declared, is nothing at all, is several where one was declared, or sends
            to more or to other nodes than declared.
        """
        if type(answer) is str and answer in self.answers:  # by far the most common
            if decision.is_new(self.router, answer):
                decision.take(self.source, self.router, self._label(answer), self.answers[answer])
            return
        answers = list(answer) if isinstance(answer, list | tuple | set | frozenset) else [answer]
        sends = [a for a in answers if isinstance(a, Send)]
        plain = [a for a in answers if not isinstance(a, Send)]
        if not answers or (plain == [None] and None not in self.answers):
            if self.empty_allowed and not answers:
                return
            raise self._refuse(
                answer,
                "chose nothing, and the run would end there without a word. Return one of "
                f"{self._declared()}"
                + (" (for an empty fan-out declare a target that goes on)." if self.each else "."),
            )
        if not self.many and (len(plain) > 1 or (plain and sends)):
            raise self._refuse(
                answer,
                f"chose several targets, {answer!r}, where exactly one was declared. Declare `many=True` (or "
                "a return type `list[Literal[...]]`), or return one.",
            )
        for single in plain:
            target = self._target(single)
            if decision.is_new(self.router, single):
                decision.take(self.source, self.router, self._label(single), target)
        self._send(sends, decision, stamp)

    def _target(self, answer: Hashable) -> str | Loop:
        try:
            return self.answers[answer]
        except (KeyError, TypeError):
            raise self._refuse(
                answer,
                f"chose `{answer}`, which is not one of its declared targets: {self._declared()}"
                f"{did_you_mean(str(answer), [str(a) for a in self.answers]) or '.'}"
                + (" Declare it, or return a declared one." if self.answers else ""),
            ) from None

    def _send(self, sends: list[Send], decision: Decision, stamp: Mapping[str, Any] | None) -> None:
        counted: dict[str, int] = {}
        for index, given in enumerate(sends):
            send = _called(given, self.aliases[given.node]) if given.node in self.aliases else given
            if send.node not in self.each:
                raise self._refuse(
                    send.node,
                    f"sent to `{send.node}`, which it does not declare: "
                    f'declare `Each("{send.node}", max=...)` among its targets'
                    f"{did_you_mean(send.node, self.each) or '.'}",
                )
            decision.goto.append(stamped(send, stamp, index, first=send.node not in counted))
            counted[send.node] = counted.get(send.node, 0) + 1
        for node, count in counted.items():
            limit = self.each[node]
            if limit is not None and count > limit:
                raise self._refuse(
                    node,
                    f"sent {count} times to `{node}`, more than the {limit} it declares. Raise "
                    f'`Each("{node}", max={limit})`, or send in batches.',
                )
            decision.taken.append(Taken(node))

    def _label(self, answer: Hashable) -> str | None:
        if not self.router:
            return None
        label = self.labels[answer]
        if label in self.aliases:  # an answer that is the name of its target goes with it
            target = self.answers[answer]
            named = target.target if isinstance(target, Loop) else target
            return named if named == self.aliases[label] else label
        return label

    def _declared(self) -> str:
        names = [f"`{a}`" for a in self.answers] + [f"Send to `{n}`" for n in self.each]
        return (", ".join(names) or "(none)").replace(f"`{END}`", "END")

    def _refuse(self, target: Any, sentence: str) -> UndeclaredTarget:
        return UndeclaredTarget(
            f"{self.owner[0].upper()}{self.owner[1:]} {sentence}",
            node=self.source,
            target=target,
            router=self.router,
        )


def stamped(send: Send, stamp: Mapping[str, Any] | None, index: int, *, first: bool) -> Send:
    """A `Send` that carries which decision made it, its place in it, and whether it is the first to its node."""
    own = {"index": index, "first": True} if first and index else {"index": index}
    argument = {SEND: {**(stamp or {}), **own}, "arg": send.arg}
    timeout = getattr(send, "timeout", None)
    return Send(send.node, argument) if timeout is None else Send(send.node, argument, timeout=timeout)


def _called(send: Send, node: str) -> Send:
    timeout = getattr(send, "timeout", None)
    return Send(node, send.arg) if timeout is None else Send(node, send.arg, timeout=timeout)


def unstamped(argument: Any) -> tuple[Any, dict[str, Any] | None]:
    """A sent argument as it was sent, and its stamp; `(argument, None)` for a state."""
    if type(argument) is dict and SEND in argument:
        return argument["arg"], argument[SEND]
    return argument, None
