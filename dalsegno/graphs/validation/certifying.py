"""The certificate: bounds on supersteps, executions, model calls and seconds, and what they rest on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from dalsegno.graphs.model import NodeSpec, WorkflowSpec
from dalsegno.graphs.validation.by_path import ByPath
from dalsegno.graphs.validation.facts import Facts
from dalsegno.graphs.validation.registry import listed
from dalsegno.graphs.validation.report import Bound, Certificate
from dalsegno.graphs.validation.states import UNDECIDED
from dalsegno.graphs.validation.supersteps import WITNESS_NODES, BoundedWalk, Walks
from dalsegno.graphs.validation.timing import (
    goes_on,
    going_on,
    is_timed,
    seconds_of_attempts,
    seconds_over_windows,
    turn_of,
    waits_alone,
)

COMMITTED = "Committed supersteps are counted; each crash repeats at most the one in flight."
DECLARED = (
    "Routers and nodes go only where they are declared to go, "
    "and send (`Send`) only where their return type or code says so."
)
CALLS = "No node makes more model calls than it declares, nor waits for people more often."
TIMEOUTS = "Every timeout ends its attempt at once; routers, reducers and commits take no time."
ABANDONED = (
    "A synchronous node is abandoned when its time is over: its thread may still be running on its own."
)
PEOPLE = "Waiting for people is excluded."
MOST_BITS = 14_000
"""Bits of the greatest bound that is given: Python writes no number of more than 4,300 digits."""
TOO_GREAT = "it is more than a number can say. Lower the bounds of its loops and fan-outs, or nest less."
AT_ONCE = "The tasks of one superstep all run at the same time."


def certify(facts: Facts) -> Certificate | None:
    """The bounds of a workflow that has no finding which voids them; None where a part has none."""
    parts = {n.name: facts.certificate_of(n.child) for n in facts.order if n.child is not None}
    if any(part is None for part in parts.values()):
        return None
    inner = {name: part for name, part in parts.items() if part is not None}
    return _Certifier(facts, inner).certificate()


class _Certifier:
    def __init__(self, facts: Facts, inner: Mapping[str, Certificate]) -> None:
        self.facts = facts
        self.inner = inner
        self.walks = Walks(facts)
        self.counts = self.walks.executions
        self.assumptions = (COMMITTED,) if facts.spec.exact_choices else (COMMITTED, DECLARED)
        self._asked: dict[int, float] = {}

    def certificate(self) -> Certificate:
        level = self._level()
        supersteps, found, is_exact = self._supersteps(level)
        bounds = {
            "supersteps": supersteps,
            "executions": self._executions(level),
            "model_calls": self._model_calls(),
            "seconds": self._seconds(),
        }
        return Certificate(
            bounds={what: _sayable(bound) for what, bound in bounds.items()},
            level_supersteps=level.bound,
            longest_found=found,
            exact=is_exact,
            undecided=self._undecided(is_exact),
            fingerprint=self.facts.spec.fingerprint(),
            executions_by_node=self._by_node(),
        )

    def _undecided(self, is_exact: bool) -> str | None:
        """What `exact` could not find out, of this level or of one inside."""
        asked = not is_exact or any(edge.kind == "join" for edge in self.facts.edges)
        if asked and self.facts.undecided:
            return UNDECIDED
        inside = ((name, part.undecided) for name, part in self.inner.items() if part.undecided)
        return next((f"in `{name}`: {why}" for name, why in inside), None)

    def _level(self) -> BoundedWalk:
        """The bound on the supersteps of this level alone."""
        walk = self._walk({n.name: 1 for n in self.facts.order})
        if (walk.realizable and walk.found == walk.bound) or self.facts.states is None:
            return walk
        longest = self.facts.states.longest
        names = self._causal(longest)
        return BoundedWalk(
            bound=len(longest),
            found=len(longest),
            names=names[:WITNESS_NODES],
            cut=len(names) > WITNESS_NODES,
            realizable=True,
            tier="explicit states",
            visits=Counter(names),
        )

    def _causal(self, running: Sequence[frozenset[str]]) -> tuple[str, ...]:
        """One node of each superstep, each led to by the one before where one is."""
        names: list[str] = []
        for nodes in reversed(running):
            before = set(self.facts.graph.predecessors(names[-1])) & nodes if names else nodes
            names.append(min(before or nodes))
        return tuple(reversed(names))

    def _walk(self, weight: Mapping[str, int]) -> BoundedWalk:
        return self.walks.walk(weight, exact=self.facts.exact)

    def _supersteps(self, level: BoundedWalk) -> tuple[Bound, int, bool]:
        unseen = self._unseen("supersteps")
        if unseen is not None:
            return unseen, level.found, False
        weight = {n.name: 1 + self._inside(n, "supersteps") for n in self.facts.order}
        walk = self._walk(weight) if self.inner else level
        is_exact = (
            walk.realizable
            and walk.found == walk.bound
            and all(part.exact for name, part in self.inner.items() if name in walk.visits)
        )
        bound = Bound(walk.bound, walk.tier, self._unfolded(walk), self.assumptions)
        return bound, walk.found - sum(map(self._not_found, walk.visits.items())), is_exact

    def _unseen(self, what: str) -> Bound | None:
        """No bound, where a node runs a graph that cannot be seen or has no bound itself."""
        opaque = [n.name for n in self.facts.opaque]
        if opaque and (what != "model_calls" or any(n.calls is None for n in self.facts.opaque)):
            return Bound(None, reason=f"T111: what {listed(opaque, 3)} runs is not known.")
        for name, part in self.inner.items():
            if part.bounds[what].value is None:
                return Bound(None, reason=f"in `{name}`: {part.bounds[what].reason}")
        return None

    def _inside(self, node: NodeSpec, what: str) -> int:
        part = self.inner.get(node.name)
        value = part.bounds[what].value if part is not None else 0
        return int(value or 0)

    def _not_found(self, visits: tuple[str, int]) -> int:
        """How far the bound of a subworkflow is from the longest run that was found of it, in so many executions."""
        part = self.inner.get(visits[0])
        return visits[1] * ((part.supersteps or 0) - part.longest_found) if part is not None else 0

    def _unfolded(self, walk: BoundedWalk) -> tuple[str, ...]:
        """The walk with the nodes of subworkflows in their places."""
        names: list[str] = []
        for name in walk.names:
            names.append(name)
            if name in self.inner:
                inside = self.inner[name].witness
                names.extend(f"{name}/{n}" for n in inside[:WITNESS_NODES])
                if len(inside) > WITNESS_NODES:
                    return (*names[:WITNESS_NODES], "…")
            if len(names) > WITNESS_NODES:
                return (*names[:WITNESS_NODES], "…")
        return (*names, "…") if walk.cut else tuple(names)

    def _executions(self, level: BoundedWalk) -> Bound:
        endless = self.counts.endless_fan_outs
        if endless:
            return Bound(None, reason=f"T104: the fan-out to {listed(endless, 3)} has no maximum.")
        if unseen := self._unseen("executions"):
            return unseen
        return self._weighed({n.name: 1 + self._inside(n, "executions") for n in self.facts.order})

    def _weighed(self, weight: Mapping[str, int], extra: tuple[str, ...] = ()) -> Bound:
        """The bound on the sum of `weight` over all executions of a run."""
        of = self.counts.of
        value = sum(of[name] * each for name, each in weight.items())
        names: tuple[str, ...] = ()
        if not self.facts.parallel:
            # One node a superstep: the sum is that of a walk.
            walk = self.walks.walk(weight)
            if walk.bound <= value:
                value, names = walk.bound, self._unfolded(walk)
        return Bound(value, "linear", names, self.assumptions + extra)

    def _model_calls(self) -> Bound:
        if unseen := self._unseen("model_calls"):
            return unseen
        # A subworkflow's nodes declare their own, and its node those of its fallbacks and of its handler.
        silent = [
            n.name
            for n in self.facts.order
            if n.calls is None and (n.child is None or n.attempts > 1 or self._has_own_handler(n))
        ]
        if silent:
            verb = "does" if len(silent) == 1 else "do"
            reason = f"{listed(silent, 3)} {verb} not declare model calls. Use `calls=`, 0 for none."
            return Bound(None, reason=reason)
        endless = self.counts.endless_fan_outs
        if endless:
            return Bound(None, reason=f"T104: the fan-out to {listed(endless, 3)} has no maximum.")
        weight = {n.name: self._calls_of(n) for n in self.facts.order}
        return self._weighed(weight, (CALLS,))

    def _calls_of(self, node: NodeSpec) -> int:
        """The model calls of one execution: an error handler makes no more of them than an attempt."""
        inner = self._inside(node, "model_calls")
        is_inner = node.name in self.inner  # of which `calls` are those of its fallbacks
        attempts = node.attempts - 1 if is_inner else node.attempts * (1 + node.interrupts)
        return inner + (attempts + self._has_own_handler(node)) * (node.calls or 0)

    def _has_own_handler(self, node: NodeSpec) -> bool:
        """Whether a function takes over where a node fails, which is no node itself."""
        handler = self.facts.nodes.get(node.error_handler or "")
        return node.error_handler is not None and (handler is None or handler.kind != "handler")

    def _seconds(self) -> Bound:
        try:
            return self._seconds_of_all()
        except OverflowError:
            return Bound(None, reason="some pause or wait is infinite. Use `max_interval=` and `max_wait=`.")

    def _seconds_of_all(self) -> Bound:
        if self.facts.opaque:
            return self._unseen("seconds") or Bound(None)
        handled = [n.name for n in self.facts.order if n.error_handler is not None]
        if handled:
            return Bound(None, reason=f"T107: the error handler of {listed(handled)} has no timeout.")
        weight: dict[str, int] = {}
        late: list[str] = []
        stuck: list[str] = []
        for node in self.facts.order:
            if turn_of(node) is None:
                return Bound(
                    None, reason=f"`{node.name}` waits for its turn as long as it takes. Use `max_wait=`."
                )
            if node.name in self.inner:
                inside = self._seconds_inside(node, self.inner[node.name])
                if isinstance(inside, Bound):
                    return inside
                weight[node.name] = inside
            elif not is_timed(node):
                if node.kind != "human":
                    late.append(node.name)
                weight[node.name] = 0
            elif node.kind != "human" and not waits_alone(self.facts.spec, node):
                stuck.append(node.name)
            else:
                weight[node.name] = seconds_of_attempts(self.facts.spec, node)
        if late:
            verb = "has" if len(late) == 1 else "have"
            return Bound(None, reason=f"T107: {listed(late)} {verb} no timeout. Use `timeout=`.")
        if stuck:
            return Bound(None, reason=f"T110: sync {listed(stuck)} cannot be cancelled. Use async functions.")
        extra = [TIMEOUTS]
        if any(n.timeout is not None and goes_on(n) for n in self.facts.order):
            extra.append(ABANDONED)
        for part in self.inner.values():
            extra += [a for a in part.bounds["seconds"].assumptions if a == ABANDONED]
        extra.append(PEOPLE)
        if not self.facts.parallel:
            walk = self.walks.walk(weight)
            return _in_seconds(walk.bound, self._unfolded(walk), self._with(*extra))
        value = sum(self.counts.supersteps_of[name] * each for name, each in weight.items())
        value = min(value, seconds_over_windows(weight, self.facts.depth, self.walks.latest))
        return _in_seconds(value, (), self._with(*extra, AT_ONCE))

    def _seconds_inside(self, node: NodeSpec, part: Certificate) -> int | Bound:
        """The milliseconds of one execution of a subworkflow, or that there is no bound on them."""
        entered = 1 + self._questions(node.child)  # anew with each answer
        turn = math.ceil(1000 * (turn_of(node) or 0))
        waits = entered * turn if turn else 0
        others = node.attempts - 1  # its fallbacks
        if node.timeout is None or not is_timed(node):
            if part.seconds is None:
                return Bound(None, reason=f"in `{node.name}`: {part.bounds['seconds'].reason}")
            if others:
                return Bound(
                    None, reason=f"T107: the fallback of `{node.name}` has no timeout. Use `timeout=`."
                )
            return int(waits + math.ceil(part.seconds * 1000))
        later, endless = going_on(node.child) if node.child is not None else (0, [])
        if part.seconds is None and endless:
            return Bound(
                None,
                reason=f"T110: sync {listed(endless)} in `{node.name}` cannot be cancelled. Use `timeout=` there.",
            )
        if part.seconds is None and math.isinf(entered):
            return Bound(None, reason=f"in `{node.name}`: {part.bounds['executions'].reason}")
        limit = math.ceil(node.timeout * 1000)
        own = entered * (limit + later) if not endless else math.inf
        inside = math.ceil(part.seconds * 1000) if part.seconds is not None else math.inf
        return int(waits + min(own, inside) + others * limit)

    def _questions(self, child: WorkflowSpec | None) -> float:
        """How often people may be asked in one execution of a subworkflow."""
        if child is None:
            return 0
        if id(child) not in self._asked:
            part = self.facts.certificate_of(child)
            most = part.executions_by_node if part is not None else {}
            each = ((n.name, self._questions(n.child) or n.interrupts) for n in child.nodes.values())
            self._asked[id(child)] = sum(
                times * (most.get(name, 0) if most else math.inf) for name, times in each if times
            )
        return self._asked[id(child)]

    def _with(self, *extra: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.assumptions, *extra)))

    def _by_node(self) -> Mapping[str, int]:
        if self.counts.endless_fan_outs:
            return {}
        return ByPath(
            {node.name: self.counts.of[node.name] for node in self.facts.order},
            {name: part.executions_by_node for name, part in self.inner.items()},
        )


def _in_seconds(milliseconds: int, witness: tuple[str, ...], assumptions: tuple[str, ...]) -> Bound:
    try:
        return Bound(milliseconds / 1000, "linear", witness, assumptions)
    except OverflowError:  # loops multiply through subworkflows
        return Bound(None, reason=TOO_GREAT)


def _sayable(bound: Bound) -> Bound:
    if isinstance(bound.value, int) and bound.value.bit_length() > MOST_BITS:
        return Bound(None, reason=TOO_GREAT)
    return bound
