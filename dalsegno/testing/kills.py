"""When a process is killed, as data and in words that can be read back."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from dalsegno.errors import DefinitionError

Side = Literal["before", "after"]

Mode = Literal["every commit", "random"]
"""Points that are found out from the undisturbed run."""

_MODES = ", ".join(f"`{mode}`" for mode in get_args(Mode))

_WORDS = re.compile(r"(?:(?P<side>before|after) commit (?P<commit>\d+)|at (?P<moment>\d+(?:\.\d+)?) ms)")


@dataclass(frozen=True)
class Kill:
    """When a process is killed: `side` of its `commit`-th commit, or `moment` seconds after it began.

    ``str(kill)`` says it in words, which `Kill.said` reads back.

    >>> str(Kill(5, "after")), Kill.said("after commit 5") == Kill(5, "after")
    ('after commit 5', True)
    """

    commit: int | None = None
    side: Side = "before"
    moment: float | None = None

    def __str__(self) -> str:
        if self.moment is not None:
            return f"at {self.moment * 1000:.3f} ms"
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
                "them: `before commit 5`, `after commit 5`, `at 12.345 ms`."
            )
        if found["moment"] is not None:
            return Kill(moment=float(found["moment"]) / 1000)
        return Kill(int(found["commit"]), "before" if found["side"] == "before" else "after")


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
    read = tuple(_point(one) for one in at)
    if not read:
        raise DefinitionError(f"at={at!r} names no kill point: there is nothing in it.")
    return read


def _point(one: int | str | Kill | Kills) -> int | Kills:
    if isinstance(one, str):
        return said_in_turn(one)
    return (one,) if isinstance(one, Kill) else one


def said_in_turn(words: str) -> Kills:
    """Read kills of one process after the other: ``before commit 5, then after commit 2``."""
    return tuple(Kill.said(part) for part in words.split(", then "))


def in_turn(kills: Kills) -> str:
    """The words for them."""
    return ", then ".join(map(str, kills))


def words(points: Points) -> str:
    """The words for points that were read, to stand behind "killed"."""
    if isinstance(points, str):
        return f"at {points}"
    numbers = [str(point) for point in points if isinstance(point, int)]
    named = [in_turn(point) for point in points if not isinstance(point, int)]
    return "; ".join(([f"at commits {', '.join(numbers)}"] if numbers else []) + named)
