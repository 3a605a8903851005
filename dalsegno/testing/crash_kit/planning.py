"""Which kills a crash test makes: all there are of a kind, or drawn by the seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from dalsegno.errors import DefinitionError
from dalsegno.testing.crash_kit.kills import Kill, Kills, Points, Side

_DRAWN = 100
"""How many random moments or power cuts, where nobody says."""

_SIDES: tuple[Side, Side] = ("before", "after")

_NEED_WRITES = ("every write", "power cuts", "disk full", "io errors")


@dataclass(frozen=True)
class Plan:
    """When to kill: `at` as `points` has read it, `kills` runs, each resumed process again `again` times."""

    at: Points
    kills: int | None
    again: int
    seed: int
    timeout: float

    @property
    def needs_writes(self) -> bool:
        """Whether it takes a process whose system calls are traced."""
        if isinstance(self.at, str):
            return self.at in _NEED_WRITES
        kills = [kill for point in self.at if not isinstance(point, int) for kill in point]
        return any(kill.write is not None for kill in kills)

    @property
    def cuts_power(self) -> bool:
        """Whether what the processes write is to be written down."""
        if isinstance(self.at, str):
            return self.at == "power cuts"
        kills = [kill for point in self.at if not isinstance(point, int) for kill in point]
        return any(kill.draw is not None for kill in kills)


def planned(plan: Plan, commits: int, halves: Sequence[bool], random: Random) -> list[Kills]:
    """The kills to make, but for random moments: how long a run takes is known only then.

    `commits` and `halves` are the undisturbed run's: its commits, and of each of its writes whether it can
    be torn in two.

    Raises
    ------
    DefinitionError
        A point is beyond its end.
    """
    if plan.at == "power cuts":
        wanted = plan.kills or _DRAWN
        return [tuple(_power_cut(len(halves), random) for _ in range(1 + plan.again)) for _ in range(wanted)]
    chosen = _chosen(_named(plan, commits, halves), plan.kills, random)
    return [
        (*kills, *(_like(kills[0], commits, halves, random) for _ in range(plan.again))) for kills in chosen
    ]


def planned_at(plan: Plan, commit: int, random: Random) -> list[Kills]:
    """The kills on both sides of a commit; those of processes that resume are at one up to it."""
    return [
        (Kill(commit, side), *(_like(Kill(commit), commit, (), random) for _ in range(plan.again)))
        for side in _SIDES
    ]


def _named(plan: Plan, commits: int, halves: Sequence[bool]) -> list[Kills]:
    """The points that `at` names, in order; a number means both sides of that commit."""
    writes = range(1, len(halves) + 1)
    named: list[Kills] = []
    match plan.at:
        case "every commit":
            named = [(Kill(n, side),) for n in range(1, commits + 1) for side in _SIDES]
        case "every write":
            for n in writes:
                named.append((Kill(write=n),))
                if halves[n - 1]:
                    named.append((Kill(write=n, side="halfway"),))
            named.append((Kill(write=len(halves), side="after"),))
        case "disk full":
            named = [(Kill(write=n, error="ENOSPC"),) for n in writes]
        case "io errors":
            named = [(Kill(write=n, error="EIO"),) for n in writes]
        case _:
            for point in plan.at:
                if isinstance(point, int):
                    named += [(Kill(point, side),) for side in _SIDES]
                elif not isinstance(point, str):
                    named.append(point)
    for first, *_ in named:
        for what, number, last in (("commit", first.commit, commits), ("write", first.write, len(halves))):
            if number is not None and not 1 <= number <= last:
                raise DefinitionError(
                    f"There is no {what} {number}: the undisturbed run makes {last}, from 1."
                )
    return named


def _chosen(points: list[Kills], kills: int | None, random: Random) -> list[Kills]:
    """All of them once, and round again as long as kills are asked for; fewer are drawn."""
    wanted = len(points) if kills is None else kills
    if wanted < len(points):
        return [points[number] for number in sorted(random.sample(range(len(points)), wanted))]
    return [points[number % len(points)] for number in range(wanted)]


def _like(kill: Kill, commits: int, halves: Sequence[bool], random: Random) -> Kill:
    """Another kill of the same kind."""
    if kill.draw is not None:
        return _power_cut(len(halves), random)
    if kill.error is not None:
        return Kill(write=random.randint(1, len(halves)), error=kill.error)
    if kill.write is not None:
        return Kill(write=random.randint(1, len(halves)), side=random.choice(("before", "halfway", "after")))
    return Kill(random.randint(1, commits), random.choice(("before", "after")))


def _power_cut(writes: int, random: Random) -> Kill:
    side: Side = random.choice(("halfway", "after"))
    return Kill(write=random.randint(1, writes), side=side, draw=random.randrange(2**31))
