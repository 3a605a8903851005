"""Which results are there where a step begins: on every way to it, and on some way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dalsegno.graphs.definition import Goto, Step
from dalsegno.graphs.documents.problems import FieldPath

OF_INPUT = "the input"
ANYTHING = "anything"

_MOST_CURRENT = 8


@dataclass(frozen=True)
class Here:
    """What is there at a place: results for sure (`must`) and perhaps (`may`), as bits of steps.

    `current` says whose result `$current` is: names of steps, `OF_INPUT`, or `ANYTHING`.
    """

    must: int = 0
    may: int = 0
    current: frozenset[str] = frozenset({OF_INPUT})

    def joined(self, other: Here | None) -> Here:
        """What is there where both ways meet."""
        if other is None or other == self:
            return self
        return Here(self.must & other.must, self.may | other.may, _either(self.current, other.current))

    def after(self, bit: int, name: str) -> Here:
        """What is there when a step has its result."""
        return Here(self.must | bit, self.may | bit, frozenset({name}))


def _either(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    """Whose result it is where it is that of one or of the other. What is anything stays so, or what goes back
    would bring something new for ever."""
    both = one | other
    return frozenset({ANYTHING}) if ANYTHING in both or len(both) > _MOST_CURRENT else both


@dataclass
class Arrivals:
    """The places of a document: where each step begins (`before`), and what its calls see (`inside`); of a loop also
    what `until` sees (`after_round`); and the end."""

    bits: dict[str, int]
    before: dict[FieldPath, Here] = field(default_factory=dict)
    inside: dict[FieldPath, Here] = field(default_factory=dict)
    after_round: dict[FieldPath, Here] = field(default_factory=dict)
    end: Here = field(default_factory=Here)


def arrivals(steps: Sequence[Step], bits: dict[str, int]) -> Arrivals:
    """What is there at every place of a document.

    A step's result is there for sure where every way leads through the step, and it was neither skipped nor failed.
    """
    found = Arrivals(bits)
    found.end = _Level(found).through(steps, ("steps",), Here())
    return found


@dataclass
class _Level:
    found: Arrivals

    def through(self, steps: Sequence[Step], at: FieldPath, entry: Here) -> Here:
        """What is there behind a list of steps, when what is there before it is known."""
        places = {step.name: place for place, step in enumerate(steps)}
        arriving: list[Here | None] = [entry, *([None] * len(steps))]
        order, again = range(len(steps)), True
        while again:  # once, and from the other end where something was brought to what had been looked at
            again = False
            for place in order:
                here = arriving[place]
                if here is None:
                    continue
                for target, there in self._ways(steps[place], (*at, place), place, here, places):
                    joined = there.joined(arriving[target])
                    if joined != arriving[target]:
                        arriving[target] = joined
                        again = again or (target - place) * order.step <= 0
            order = order[::-1]
        return arriving[-1] or entry

    def _ways(
        self, step: Step, at: FieldPath, place: int, here: Here, places: dict[str, int]
    ) -> list[tuple[int, Here]]:
        """Where it goes on from a step, and with what."""
        self.found.before[at] = self.found.inside[at] = here
        done, failed = here, here
        if step.strategy == "loop" or step.steps:  # with steps a loop is meant, whatever is said
            done, failed = self._rounds(step, at, here)
        bit = self.found.bits.get(step.name, 0)
        ways = [(place + 1, done.after(bit, step.name))]
        if step.condition is not None or _may_choose_nothing(step):
            ways.append((place + 1, here))
        if _lets_pass(step):
            ways.append((place + 1, failed))
        elif isinstance(step.on_error, Goto) and step.on_error.goto in places:
            ways.append((places[step.on_error.goto], failed))
        return ways

    def _rounds(self, step: Step, at: FieldPath, here: Here) -> tuple[Here, Here]:
        """What is there behind a loop, and where it failed. Each round begins without the results of the one before."""
        last = step.steps[-1].name if step.steps else step.name
        entry = Here(here.must, here.may, _either(here.current, frozenset({last})))
        self.found.inside[at] = entry
        if not step.steps:
            self.found.after_round[at] = Here(here.must, here.may, frozenset({step.name}))
            return here, here
        end = self.through(step.steps, (*at, "steps"), entry)
        if ANYTHING not in entry.current and not end.current <= entry.current:
            # What is left by the round before is found by the next one.
            entry = Here(entry.must, entry.may, frozenset({ANYTHING}))
            self.found.inside[at] = entry
            end = self.through(step.steps, (*at, "steps"), entry)
        self.found.after_round[at] = end
        inner = end.may & ~here.may
        return end, Here(here.must, here.may | inner, here.current)


def _may_choose_nothing(step: Step) -> bool:
    return step.strategy == "conditional" and all(call.when is not None for call in step.agent_calls)


def _lets_pass(step: Step) -> bool:
    """Whether it has no result where it fails; a parallel and a map_reduce have null for what failed, but for the call
    that gets all the answers."""
    if step.strategy == "map_reduce" and len(step.agent_calls) < 2:
        return False
    return step.on_failure == "skip" and step.strategy != "parallel"


class Passing:
    """Whether a way surely leads through a step, where it is known which conditions hold and nothing goes back."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._jumps: dict[FieldPath, list[tuple[int, int]]] = {}

    def through(self, at: FieldPath, to: FieldPath, holds: Callable[[Step], bool]) -> bool:
        """Whether what leads to the step at `to` leads through the one at `at` before, so that this has its result."""
        steps = self._steps
        for depth in range(1, len(at), 2):
            place, beside = int(at[depth]), at[:depth] == to[:depth]
            step = steps[place]
            if not beside or to[depth] != place:  # no loop that both are in
                end = int(to[depth]) if beside else len(steps)
                if step.condition is not None and not holds(step):
                    return False
                if _may_choose_nothing(step) or _lets_pass(step):
                    return False
                if any(
                    source <= place < target <= end for source, target in self._jumps_in(steps, at[:depth])
                ):
                    return False
            steps = step.steps
        return True

    def _jumps_in(self, steps: Sequence[Step], at: FieldPath) -> list[tuple[int, int]]:
        """From where to where a failure leads in a list of steps."""
        if at not in self._jumps:
            places = {step.name: place for place, step in enumerate(steps)}
            self._jumps[at] = [
                (place, places[step.on_error.goto])
                for place, step in enumerate(steps)
                if isinstance(step.on_error, Goto) and step.on_error.goto in places
            ]
        return self._jumps[at]
