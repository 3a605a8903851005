"""What the notes of a killed run say, held against those of the undisturbed one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dalsegno.errors import DatabaseInvalid
from dalsegno.testing.crash_kit.kills import Kill
from dalsegno.testing.crash_kit.observing import Record
from dalsegno.testing.crash_kit.playing import output_of
from dalsegno.testing.crash_kit.report import CrashPoint

Same = Callable[[Any, Any], bool]


@dataclass(eq=False)
class Story:
    """All that the processes of one run did, read from their notes.

    `starts` and `ends` count executions; `lost` are those begun again after their writes were
    acknowledged. An execution is acknowledged when LangGraph was told that its writes are kept, or
    that the checkpoint after the one it ran on is.
    """

    starts: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    keys: dict[str, set[str]] = field(default_factory=dict)
    found: list[str | None] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    checked: Sequence[Any] | None = None
    outcome: Sequence[Any] | None = None
    journal: Sequence[str] = ()
    raised: str | None = None
    commits: int = 0

    @staticmethod
    def told(notes: Sequence[Record]) -> Story:
        """Read the notes, in order."""
        story = Story()
        running: dict[str, tuple[str, str]] = {}
        ended_on: dict[str, set[str]] = {}
        done: set[str] = set()
        plain: set[str] = set()
        for what, *rest in notes:
            match what, rest:
                case "process", [failed_before]:
                    plain |= done - running.keys()
                    story.found.append(None)
                    if failed_before:
                        story.raised = None
                case "found", [status]:
                    story.found[-1] = status
                case "start", [task, checkpoint, name, key]:
                    running[task] = (name, checkpoint)
                    story.starts[name] += 1
                    story.keys.setdefault(name, set()).add(key)
                    if task in done or name in done:
                        story.lost.append(name)
                case "finish", [task]:
                    name, checkpoint = running[task]
                    story.ends[name] += 1
                    ended_on.setdefault(checkpoint, set()).add(name)
                case "done", [task]:
                    if task in plain:  # a graph of LangGraph's own tells of no starts
                        story.lost.append(f"task {task}")
                    done |= {task, running[task][0]} if task in running else {task}
                case "kept", [checkpoint, parent]:
                    story.acknowledged.add(checkpoint)
                    done |= ended_on.get(parent, set())
                case "commit", [number]:
                    story.commits = number
                case "outcome", _:
                    story.outcome = rest
                case "journal", [names]:
                    story.journal = names
                case "checked", _:
                    story.checked = rest
                case "raised", [text]:
                    story.raised = text
        return story

    @property
    def ended(self) -> str:
        """The run's status at the end."""
        assert self.outcome is not None
        return str(self.outcome[0])

    @property
    def status(self) -> str:
        """How it ended, with the error in a word."""
        assert self.outcome is not None
        error = self.outcome[3]
        return f"{self.ended} ({error})" if error else self.ended

    @property
    def output(self) -> Any:
        """The output keys of the state at the end."""
        return output_of(self.outcome[2]) if self.outcome is not None else None


def differences(story: Story, reference: Story, same: Same) -> list[str]:
    """What came out otherwise than in the undisturbed run."""
    if story.outcome is None or reference.outcome is None:
        return []
    found = []
    for what, was, expected in (
        ("status", story.status, reference.status),
        ("supersteps", story.outcome[1], reference.outcome[1]),
    ):
        if was != expected:
            found.append(f"{what}: {was} instead of {expected}")
    if not same(story.output, reference.output):
        found.append(f"output: {_short(story.output)} instead of {_short(reference.output)}")
    if too_few := Counter(reference.journal) - Counter(story.journal):
        found.append(f"the ledger's journal lacks: {', '.join(sorted(too_few.elements()))}")
    if too_many := Counter(story.journal) - Counter(reference.journal):
        found.append(f"the ledger's journal holds too often: {', '.join(sorted(too_many.elements()))}")
    return found


def judged(
    story: Story,
    reference: Story,
    same: Same,
    kills: tuple[Kill, ...],
    killed: int,
    error: str | None,
    *,
    promised: bool = True,
) -> CrashPoint:
    """Hold one killed run against the undisturbed one.

    Without `promised` the last commits may be gone, as the fast profile has it in a power cut: what was
    acknowledged may be done again, under other keys where the whole run was gone.
    """
    known = set(reference.starts)
    kept = set(story.checked[1]) if story.checked else story.acknowledged
    damage = story.checked[0] if story.checked and story.checked[0] != "ok" else None
    if error is not None and DatabaseInvalid.__name__ in error:
        damage = damage or "it is refused"
    ended = story.outcome is not None
    forgotten = sorted(story.acknowledged - kept)
    different = differences(story, reference, same)
    if promised:
        different += [
            f"idempotency key of {name} changed" for name, keys in story.keys.items() if len(keys) > 1
        ]
    return CrashPoint(
        kills=kills,
        killed=killed,
        found=tuple(story.found[1:]),
        repeated=tuple(sorted((story.starts - reference.starts).elements())),
        lost=tuple(story.lost) if promised else (),
        forgotten=tuple(forgotten) if promised else (),
        rolled_back=() if promised else (*story.lost, *forgotten),
        missing=tuple(sorted(set(reference.ends) - set(story.ends))) if ended else (),
        unexpected=tuple(sorted(set(story.starts) - known)),
        different=tuple(different),
        error=error,
        damage=damage,
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}…"
