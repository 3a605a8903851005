"""When a process is killed, as data and in words that can be read back."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from dalsegno.errors import DefinitionError

Side = Literal["before", "halfway", "after"]
Error = Literal["EIO", "ENOSPC"]

Mode = Literal["every commit", "every write", "random", "power cuts", "disk full", "io errors"]
"""Points that are found out from the undisturbed run."""

_MODES = ", ".join(f"`{mode}`" for mode in get_args(Mode))

_WORDS = re.compile(
    r"(?P<side>before|after) commit (?P<commit>\d+)"
    r"|at (?P<moment>\d+(?:\.\d+)?) ms"
    r"|(?P<where>before|halfway through|after) write (?P<write>\d+)"
    r"|by a power cut (?P<when>in|after) write (?P<cut>\d+) \(draw (?P<draw>\d+)\)"
    r"|(?P<error>EIO|ENOSPC) at write (?P<failing>\d+)"
)
_SIDES: dict[str, Side] = {
    "before": "before", "halfway through": "halfway", "in": "halfway", "after": "after"
}  # fmt: skip


@dataclass(frozen=True)
class Kill:
    """When a process is killed: `side` of its `commit`-th commit, or of its `write`-th write, or `moment` seconds
    after it began.

    With `draw` the power goes with it, in the write (``"halfway"``) or after it: what was not synced is gone,
    there or torn, as a random generator of that seed has it. With `error` the write fails and the process ends as it
    does: ``"ENOSPC"``, and all that come after it and need room too; ``"EIO"``, only that one.

    ``str(kill)`` says it in words, which `Kill.said` reads back.

    >>> str(Kill(5, "after")), Kill.said("after commit 5") == Kill(5, "after")
    ('after commit 5', True)
    """

    commit: int | None = None
    side: Side = "before"
    moment: float | None = None
    write: int | None = None
    draw: int | None = None
    error: Error | None = None

    def __str__(self) -> str:
        if self.moment is not None:
            return f"at {self.moment * 1000:.3f} ms"
        if self.error is not None:
            return f"{self.error} at write {self.write}"
        if self.draw is not None:
            when = "in" if self.side == "halfway" else "after"
            return f"by a power cut {when} write {self.write} (draw {self.draw})"
        if self.write is not None:
            return f"{'halfway through' if self.side == 'halfway' else self.side} write {self.write}"
        return f"{self.side} commit {self.commit}"

    @staticmethod
    def said(words: str) -> Kill:
        """Read one kill point from words.

        Raises
        ------
        DefinitionError
            The words name no kill point.
        """
        found = _WORDS.fullmatch(words.strip())
        if found is None:
            raise DefinitionError(
                f"{words!r} names no kill point. There are {_MODES}, and single ones as a crash report prints "
                "them: `before commit 5`, `after commit 5`, `halfway through write 12`, `at 12.345 ms`."
            )
        if found["moment"] is not None:
            return Kill(moment=float(found["moment"]) / 1000)
        if found["error"] is not None:
            return Kill(write=int(found["failing"]), error="EIO" if found["error"] == "EIO" else "ENOSPC")
        side = _SIDES[found["side"] or found["where"] or found["when"]]
        if found["commit"] is not None:
            return Kill(int(found["commit"]), side)
        if found["cut"] is not None:
            return Kill(side=side, write=int(found["cut"]), draw=int(found["draw"]))
        return Kill(side=side, write=int(found["write"]))


Kills = tuple[Kill, ...]
"""The kill of the first process, then of each that resumes."""

At = str | Iterable["int | str | Kill | Kills"]
"""What `crash_test` takes: a `Mode`, a point in words, or points."""

Points = str | tuple[int | Kills, ...]
"""The same, read: a mode, or numbers of commits and kills."""


def points(at: At) -> Points:
    """Read what was given as `at`.

    Raises
    ------
    DefinitionError
        It names no kill point.
    """
    if isinstance(at, str):
        return at if at in get_args(Mode) else (said_in_turn(at),)
    if not isinstance(at, Iterable):
        raise DefinitionError(
            f"at={at!r} names no kill point. Several are given as a list, and one as `at=[{at!r}]`."
        )
    read = tuple(_point(one) for one in at)
    if not read:
        raise DefinitionError(f"at={at!r} names no kill point: there is nothing in it.")
    return read


def _point(one: int | str | Kill | Kills) -> int | Kills:
    if isinstance(one, str):
        return said_in_turn(one)
    if isinstance(one, Kill):
        return (one,)
    if isinstance(one, int) or (
        isinstance(one, tuple) and one and all(isinstance(kill, Kill) for kill in one)
    ):
        return one
    raise DefinitionError(
        f"at=[{one!r}] names no kill point: it is the number of a commit, a `Kill`, or words for one."
    )


_MODES_IN_WORDS = {
    "power cuts": "by power cuts", "disk full": "by a full disk", "io errors": "by errors of the disk"
}  # fmt: skip


def said_in_turn(words: str) -> Kills:
    """Read kills of one process after the other: ``before commit 5, then after commit 2``."""
    return tuple(Kill.said(part) for part in words.split(", then "))


def in_turn(kills: Kills) -> str:
    """The words for them."""
    return ", then ".join(map(str, kills))


def words(points: Points) -> str:
    """The words for points that were read, to stand behind "killed"."""
    if isinstance(points, str):
        return _MODES_IN_WORDS.get(points, f"at {points}")
    numbers = [str(point) for point in points if isinstance(point, int)]
    named = [in_turn(point) for point in points if not isinstance(point, int)]
    return "; ".join(([f"at commits {', '.join(numbers)}"] if numbers else []) + named)
