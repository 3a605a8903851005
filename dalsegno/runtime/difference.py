"""What changed in a graph since a run was checkpointed, and what that means for the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dalsegno.errors import quoted

Verdict = Literal["same", "compatible", "needs mapping", "unsafe"]
_RANK: tuple[Verdict, ...] = ("same", "compatible", "unsafe", "needs mapping")


@dataclass(frozen=True)
class Change:
    """One thing that is not as it was.

    `kind` is a word to sort by (``pending``, ``defer``, ``join``, ``loop``, ``inserted``, ``state``, ``bound``,
    ``node``, ``code``, ``ways``, ``name``); `where` the path of a node or key; `words` a sentence. `can_be_accepted`:
    whether `accept_changes` lets a run go on over it; with a pending node that is gone there is nothing to go on with.
    `mapped`: whether the renames that are suggested undo it.
    """

    kind: str
    where: str
    words: str
    verdict: Verdict = "compatible"
    can_be_accepted: bool = True
    mapped: bool = False


@dataclass(frozen=True)
class Difference:
    """What lies between the checkpointed graph and today's; `rename` is what would map the one to the other."""

    changes: tuple[Change, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The worst of the changes'."""
        return max((c.verdict for c in self.changes), key=_RANK.index, default="same")

    def refused(self, accept_changes: bool = False) -> tuple[Change, ...]:
        """The changes that keep the run from going on."""
        serious = (c for c in self.changes if c.verdict in ("needs mapping", "unsafe"))
        return tuple(c for c in serious if not (accept_changes and c.can_be_accepted))

    @property
    def options(self) -> str:
        """What to add to `dalsegno resume`: the renames that would do, and `--accept-changes` where that helps; nothing
        where it would not be enough."""
        if self.is_stuck:
            return ""
        words = [f"--rename {quoted(f'{old}={new}')}" for old, new in self.rename.items()]
        if any(c.can_be_accepted and not c.mapped for c in self.refused()):
            words.append("--accept-changes")
        return " ".join(words)

    @property
    def is_stuck(self) -> bool:
        """Whether something is gone that nothing suggested stands for: accepting the rest would not be enough."""
        return any(not (c.can_be_accepted or c.mapped) for c in self.refused())

    @property
    def unmapped(self) -> tuple[str, ...]:
        """The pending nodes that are gone, and that no suggested rename is of."""
        return tuple(c.where for c in self.refused() if c.kind == "pending" and not c.mapped)

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `dalsegno diff`."""
        return {
            "verdict": self.verdict,
            "changes": [
                {"kind": c.kind, "where": c.where, "verdict": c.verdict, "words": c.words}
                for c in self.changes
            ],
            "rename": dict(self.rename),
        }


def named(names: Iterable[str]) -> str:
    """Names in a sentence."""
    return ", ".join(f"`{name}`" for name in names)
