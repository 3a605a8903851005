"""Which fan-outs may run in the same superstep as deferred nodes that waited.

A deferred node waits until no edge leads to anything else; what is sent to neither waits nor holds it back. Where both
can meet is found by a search over pairs of what runs and what waits. It leaves nothing out: joins fire whenever one of
their sources has run, and counters of loops are not followed.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from dalsegno.graphs.model import END, START
from dalsegno.graphs.validation.arcs import branches
from dalsegno.graphs.validation.facts import Facts

MOST_LOOKS = 50_000
"""Most pairs that are looked at: beyond it, every fan-out counts."""


class Token(NamedTuple):
    """A node that runs, or one that is deferred and waits; `sent` where a fan-out started it."""

    name: str
    waits: bool = False
    sent: bool = False


Pair = tuple[Token, Token]


def beside_deferred(facts: Facts) -> frozenset[str]:
    """The nodes that may be sent to in a superstep in which a deferred node runs that had waited."""
    deferred = frozenset(n.name for n in facts.order if n.defer)
    if not deferred or not facts.sent_to:
        return frozenset()
    search = _Search(facts, deferred)
    found: set[str] = set()
    for looks, (left, right) in enumerate(search.pairs()):
        if looks == MOST_LOOKS:
            return facts.sent_to
        if left.waits != right.waits:
            found |= {token.name for token in (left, right) if token.sent}
    return frozenset(found)


class _Search:
    def __init__(self, facts: Facts, deferred: frozenset[str]) -> None:
        self.facts = facts
        self.deferred = deferred
        self._next: dict[str, tuple[Token, ...]] = {}

    def pairs(self) -> Iterator[Pair]:
        """Every pair of what may run or wait at once; some of them several times."""
        ahead: deque[Pair] = deque()
        seen: set[Pair] = set()
        names = (START, *(n.name for n in self.facts.order))
        for pair in itertools.chain.from_iterable(map(self.started_by, names)):
            yield pair
            if pair not in seen:
                seen.add(pair)
                ahead.append(pair)
        while ahead:
            for pair in self.after(ahead.popleft()):
                yield pair
                if pair not in seen:
                    seen.add(pair)
                    ahead.append(pair)

    def next(self, name: str) -> tuple[Token, ...]:
        """What one execution of a node may lead to."""
        if name not in self._next:
            arcs = self.facts.out.get(name, ())
            tokens = (self._token(a.target, a.edge.fans_out) for a in arcs if a.target != END)
            self._next[name] = tuple(dict.fromkeys(tokens))
        return self._next[name]

    def _token(self, name: str, sent: bool) -> Token:
        return Token(name, waits=name in self.deferred and not sent, sent=sent)

    def started_by(self, name: str) -> Iterator[Pair]:
        """The pairs that one execution of a node may start."""
        arcs = self.facts.out.get(name, ())
        groups = branches(arcs, self.facts.spec.exact_choices)
        groups += [[a] for a in arcs if a.edge.kind == "handler" and a.target != END]
        tokens = [[self._token(a.target, a.edge.fans_out) for a in group] for group in groups]
        for i, group in enumerate(tokens):
            for token in group:
                if token.sent:
                    yield token, token
                for other in tokens[i + 1 :]:
                    yield from (_pair(token, o) for o in other if o != token)

    def after(self, pair: Pair) -> Iterator[Pair]:
        """The pairs that may follow one superstep later."""
        left, right = pair
        if left.waits and right.waits:
            yield _pair(Token(left.name), Token(right.name))
        elif left.waits or right.waits:
            waits, runs = pair if left.waits else (right, left)
            if runs.sent:  # it holds nothing back
                yield _pair(Token(waits.name), runs)
            yield from (_pair(waits, token) for token in self.next(runs.name) if token != waits)
        else:
            for a in self.next(left.name):
                yield from (_pair(a, b) for b in self.next(right.name) if a != b or a.sent)


def _pair(a: Token, b: Token) -> Pair:
    return (a, b) if a <= b else (b, a)
