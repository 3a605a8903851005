"""What a crash test found: one point a kill, and the table of them all."""

from __future__ import annotations

from dataclasses import dataclass

from dalsegno.errors import CrashTestFailed
from dalsegno.testing.crash_kit.kills import Kill, in_turn

_SHOWN = 10


@dataclass(frozen=True)
class CrashPoint:
    """One run that was killed, resumed until it ended, and compared with the undisturbed one.

    Parameters
    ----------
    kills
        The planned kills: of the first process, then of each process that resumed.
    killed
        How many of them happened. A process may have ended first.
    found
        The run's status as each resuming process found it. None: nothing was recorded yet.
    repeated
        Executions that were in flight at a kill and began again. This is allowed.
    lost
        Executions that ran again although their writes were acknowledged before the kill. Never allowed.
    forgotten
        Checkpoints that were acknowledged before the kill and are not in the database. Never allowed.
    rolled_back
        What was lost or forgotten by the fast profile in a power cut, which may take the last commits. Allowed.
    missing, unexpected
        Executions of the undisturbed run that never ended in this one, and executions that began only in this one.
    different
        What differs from the undisturbed run: status, output, supersteps, idempotency keys or the ledger's
        journal of executions.
    error
        Why a process did not end: its traceback, or that it hung.
    damage
        What is wrong with the database itself.
    printed
        The last lines that its processes printed, if the point failed.
    """

    kills: tuple[Kill, ...]
    killed: int = 0
    found: tuple[str | None, ...] = ()
    repeated: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    forgotten: tuple[str, ...] = ()
    rolled_back: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    different: tuple[str, ...] = ()
    error: str | None = None
    damage: str | None = None
    printed: str = ""

    @property
    def resumed(self) -> int:
        """How many processes went on with the run."""
        return len(self.found)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong. Repeated executions are allowed."""
        return not self.problems()

    def problems(self) -> list[str]:
        """What is wrong, a sentence each."""
        named = (
            ("committed and executed again", self.lost),
            ("acknowledged, and gone from the database: checkpoint", self.forgotten),
            ("never executed", self.missing),
            ("executed, and not in the undisturbed run", self.unexpected),
        )
        found = [f"{what}: {', '.join(names)}" for what, names in named if names]
        if self.damage:
            found.append(f"the database is damaged: {self.damage}")
        return found + list(self.different) + ([self.error] if self.error else [])

    def __str__(self) -> str:
        kills = in_turn(self.kills[: max(self.killed, 1)])
        found = ", ".join(str(status or "nothing recorded") for status in self.found)
        how = f"killed {kills}; found {found or 'no chance to resume'}"
        return f"{how}: {'; '.join(self.problems()) or 'the same end'}"


@dataclass(frozen=True)
class CrashReport:
    """What became of a workflow that was killed again and again.

    `at` says in words where it was killed; `status`, `commits` and `executions` are those of the undisturbed
    run; `seconds` is what the whole test took, undisturbed runs included; `seed` that of everything drawn;
    `writes` how many the undisturbed run makes, where they were counted; `instead` says why the points are not
    those that were asked for.
    """

    workflow: str
    profile: str
    at: str
    points: tuple[CrashPoint, ...]
    status: str
    commits: int
    executions: int
    seconds: float
    seed: int = 0
    writes: int = 0
    instead: str = ""

    @property
    def kills(self) -> int:
        """Processes that were killed."""
        return sum(point.killed for point in self.points)

    @property
    def kills_per_minute(self) -> float:
        """How fast it went."""
        return self.kills / self.seconds * 60 if self.seconds else 0.0

    @property
    def failures(self) -> tuple[CrashPoint, ...]:
        """The points at which something was wrong."""
        return tuple(point for point in self.points if not point.ok)

    @property
    def ok(self) -> bool:
        """Whether something was killed, and every run came to the same end with nothing lost."""
        return self.kills > 0 and not self.failures

    @property
    def summary(self) -> str:
        """One line: what was killed, and the counts."""
        points = self.points
        lost = sum(len(p.lost) + len(p.forgotten) for p in points)
        return (
            f"`{self.workflow}`, {self.profile}, killed {self.at}: {self.kills} kill{'' if self.kills == 1 else 's'}, "
            f"{sum(p.resumed for p in points)} resumed, {lost} lost, "
            f"{sum(len(p.missing) for p in points)} missing, {sum(len(p.repeated) for p in points)} begun "
            f"again in flight, {len(self.failures)} of {len(points)} runs wrong ({self.seconds:.1f} s)"
            + (f". Undisturbed, the run ends {self.status}" if self.status != "completed" else "")
            + (f". {self.instead}" if self.instead else "")
        )

    def raise_for_failures(self) -> CrashReport:
        """Give the report back if all went well.

        Raises
        ------
        CrashTestFailed
            At some point something was wrong, or nothing was killed at all; the message lists the points.
        """
        if self.ok:
            return self
        raise CrashTestFailed(f"{self}\n{self._listed()}".rstrip(), report=self)

    def _listed(self) -> str:
        if not self.kills:
            return "Nothing was killed: every process ended before its kill. Choose other points."
        lines = [f"- {point}" for point in self.failures[:_SHOWN]]
        more = len(self.failures) - _SHOWN
        if more > 0:
            lines.append(f"… and {more} more in `.report.failures`.")
        return "\n".join([*lines, f'Only the first again: `at="{in_turn(self.failures[0].kills)}"`'])

    def __str__(self) -> str:
        points = self.points
        rows: list[tuple[str, str | int]] = [
            ("runs killed / processes killed", f"{sum(p.killed > 0 for p in points)} / {self.kills}"),
            ("processes that resumed", sum(p.resumed for p in points)),
            ("executions begun again (in flight)", sum(len(p.repeated) for p in points)),
            ("executions committed and done again", sum(len(p.lost) for p in points)),
            ("checkpoints acknowledged and gone", sum(len(p.forgotten) for p in points)),
            ("executions missing", sum(len(p.missing) for p in points)),
            ("executions not in the undisturbed run", sum(len(p.unexpected) for p in points)),
            ("runs with another result", sum(bool(p.different) for p in points)),
            ("runs that did not end", sum(p.error is not None for p in points)),
            ("databases that were damaged", sum(p.damage is not None for p in points)),
        ]
        undisturbed = f"{self.status}, {self.commits} commits, {self.executions} executions"
        if self.writes:
            undisturbed += f", {self.writes} writes"
        head = (
            f"`{self.workflow}`, {self.profile}, killed {self.at} (seed {self.seed}): "
            f"{'ok' if self.ok else 'FAILED'} (undisturbed: {undisturbed}; {self.seconds:.1f} s, "
            f"{self.kills_per_minute:.0f} kills a minute)"
        )
        if self.instead:
            head += f"\n  {self.instead}"
        if any(p.rolled_back for p in points):
            rows.append(("commits that the power cut took", sum(len(p.rolled_back) for p in points)))
        return "\n".join([head, *(f"  {name:<38}{value:>9}" for name, value in rows)])
