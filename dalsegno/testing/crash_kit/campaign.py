"""The campaign of a crash test: the undisturbed runs, the plan of kills, and the killed runs."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from dalsegno.errors import CrashTestFailed, DalsegnoError
from dalsegno.testing.crash_kit.disk import Deed, Image
from dalsegno.testing.crash_kit.forking import BEGUN, DONE, End, Server
from dalsegno.testing.crash_kit.judging import Same, Story, differences, judged
from dalsegno.testing.crash_kit.kills import Kill, Kills, words
from dalsegno.testing.crash_kit.observing import records
from dalsegno.testing.crash_kit.place import Place
from dalsegno.testing.crash_kit.planning import Plan, planned, planned_at
from dalsegno.testing.crash_kit.playing import Play, Stage
from dalsegno.testing.crash_kit.report import CrashPoint, CrashReport
from dalsegno.testing.crash_kit.tracing import why_not
from dalsegno.testing.crash_kit.warming import warm
from dalsegno.testing.crash_kit.watching import Watch

_CHANCES = 10
"""How often a kill is tried where the run ended before it: at another moment, or at the same point of another run,
since what tasks do side by side is not written in the same pieces each time."""


def campaign(server: Server, play: Play, plan: Plan, folder: Path, same: Same) -> CrashReport:
    """Do one crash test, in the server process; `folder` is where it makes a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="dalsegno-crash-", dir=folder) as own:
        warm(play.profile, Path(own))
        test = Campaign(server, play, plan, Path(own), same)
        server.settle()
        return test.run()


class Campaign:
    """The undisturbed runs and the killed ones, one after the other, in one folder."""

    def __init__(self, server: Server, play: Play, plan: Plan, folder: Path, same: Same) -> None:
        self._server = server
        self._place = Place(folder / "run")
        self._stage = Stage(play, self._place.database)
        self._plan, self._instead = _possible(plan)
        self._same = same
        self._random = random.Random(plan.seed)
        self._durations: list[float] = []

    def run(self) -> CrashReport:
        """Run it all."""
        began = time.perf_counter()
        reference, watch = self._undisturbed()
        points = tuple(self._points(reference, watch))
        return CrashReport(
            workflow=self._stage.name,
            profile=self._stage.play.profile,
            at=words(self._plan.at),
            seed=self._plan.seed,
            points=points,
            status=reference.status,
            commits=reference.commits,
            writes=watch.writes,
            executions=sum(reference.ends.values()),
            seconds=time.perf_counter() - began,
            instead=self._instead,
        )

    def _undisturbed(self) -> tuple[Story, Watch]:
        """The run to compare with; twice, to see that it can be compared with."""
        stories: list[Story] = []
        watches: list[Watch] = []
        for _ in range(2):
            with self._place as place:
                watches.append(self._place.watch(None, record=self._plan.cuts_power))
                traced = watches[-1] if self._plan.needs_writes else None
                end = self._process(place, None, traced, resumes=False)
                story = Story.told(records(place.log))
                why = self._trouble(end, story)
                if why is not None:
                    raise CrashTestFailed(
                        f"The undisturbed run has no end to compare with. {why}", report=None
                    )
                stories.append(story)
                self._durations.append(end.seconds)
        first, second = stories
        unlike = differences(second, first, self._same)
        if set(first.starts) != set(second.starts):
            unlike.append(f"executions: {sorted(set(first.starts) ^ set(second.starts))} in one of them only")
        if unlike:
            raise CrashTestFailed(
                f"Two undisturbed runs are not the same, so a killed one cannot be compared with them: "
                f"{'; '.join(unlike)}. Make the nodes deterministic for the test, or pass `same=`.",
                report=None,
            )
        longer = 0 if first.commits >= second.commits else 1
        return stories[longer], watches[longer]

    def _points(self, reference: Story, watch: Watch) -> Iterator[CrashPoint]:
        if self._plan.at == "random":
            for _ in range(self._plan.kills or 100):
                yield self._until_killed(self._moments, reference)
            return
        for kills in planned(self._plan, reference.commits, watch.halves, self._random):
            if kills[0].draw is not None:
                point = self._without_power(kills, reference, watch.deeds)
            else:
                point = self._until_killed(lambda kills=kills: kills, reference)  # type: ignore[misc]
            yield point
        if self._plan.at == "every commit" and self._plan.kills is None:
            yield from self._beyond(point, reference)

    def _beyond(self, last: CrashPoint, reference: Story) -> Iterator[CrashPoint]:
        """Go on behind the last commit of the undisturbed run as long as the run that was killed there had not ended:
        where the machine is busier by then, what had shared a commit has one of its own."""
        commit = reference.commits
        while last.killed and last.found[:1] != (reference.ended,):
            commit += 1
            for kills in planned_at(self._plan, commit, self._random):
                last = self._until_killed(lambda kills=kills: kills, reference)  # type: ignore[misc]
                if not last.killed and last.ok:
                    return
                yield last

    def _moments(self) -> Kills:
        seconds = statistics.median(self._durations)
        return tuple(Kill(moment=self._random.uniform(0, seconds)) for _ in range(1 + self._plan.again))

    def _until_killed(self, choose: Callable[[], Kills], reference: Story) -> CrashPoint:
        for _ in range(_CHANCES):
            point = self._killed(choose(), reference)
            if point.killed or not point.ok:
                break
        return point

    def _killed(self, kills: Kills, reference: Story) -> CrashPoint:
        """Run, kill as planned, resume until it ends, and judge."""
        killed, failed = 0, False
        with self._place as place:
            while True:
                kill = kills[killed] if killed < len(kills) else None
                watch = place.watch(kill) if kill is not None and kill.write is not None else None
                end = self._process(place, kill, watch, failed_before=failed)
                struck = kill is not None and kill.error is not None and watch is not None and watch.struck
                if not end.killed and not (struck and not end.hung):
                    if not killed and not end.hung:
                        self._durations.append(end.seconds)
                    break
                if kill is None:
                    break
                killed += 1
                failed = failed or struck
            return self._judged(place, reference, kills, killed, end)

    def _without_power(self, kills: Kills, reference: Story, deeds: list[Deed]) -> CrashPoint:
        """Put what a power cut may have left where it was, resume, and judge.

        `deeds` are those of the undisturbed run: up to the cut, this one is the same.
        """
        killed = 0
        image: Image = {}
        with self._place as place:
            for number, kill in enumerate(kills):
                if number and not any(deed.number >= (kill.write or 0) for deed in deeds):
                    break  # it ended before
                image = place.after_power_cut(kill, deeds, image)
                killed += 1
                watch = place.watch(None, record=True) if number + 1 < len(kills) else None
                end = self._process(place, None, watch)
                deeds = watch.deeds if watch is not None else []
            return self._judged(place, reference, kills, killed, end, self._stage.play.profile == "durable")

    def _judged(
        self, place: Place, reference: Story, kills: Kills, killed: int, end: End, promised: bool = True
    ) -> CrashPoint:
        story = Story.told(records(place.log))
        trouble = self._trouble(end, story)
        point = judged(story, reference, self._same, kills, killed, trouble, promised=promised)
        return point if point.ok else replace(point, printed=place.printed())

    def _trouble(self, end: End, story: Story) -> str | None:
        """Why the last process came to no outcome."""
        if end.hung:
            return f"A process did not end within {self._plan.timeout} seconds."
        if end.killed:
            return "A process was killed by somebody else; is there enough memory?"
        if story.raised is not None:
            return story.raised
        return None if story.outcome is not None else f"A process exited with {end.code}, in the middle."

    def _process(
        self,
        place: Place,
        kill: Kill | None,
        watch: Watch | None = None,
        *,
        failed_before: bool = False,
        resumes: bool = True,
    ) -> End:
        stage = self._stage

        def body(tell: Callable[[bytes], None]) -> None:
            random.seed()  # a new process would have numbers of its own
            stage.witness.open(place.log, kill, failed_before=failed_before)
            try:
                tell(BEGUN)
                try:
                    ended = stage.perform(failed_before=failed_before)
                finally:
                    stage.leave()
                tell(DONE)
                if ended:
                    stage.check()
            except BaseException as error:
                stage.witness.note("raised", "".join(traceback.format_exception(error)))

        moment = None if kill is None else kill.moment
        others = [
            self._server.child(body, str(place.output))
            for _ in range(stage.play.resumers - 1 if kill is None and resumes else 0)
        ]
        end = self._server.child(body, str(place.output), watch).wait(moment, self._plan.timeout)
        return max([end, *(other.wait(None, self._plan.timeout) for other in others)], key=End.trouble)


def _possible(plan: Plan) -> tuple[Plan, str]:
    """The plan, or the next best one where no process can be traced, and why.

    Raises
    ------
    DalsegnoError
        Nothing else would do.
    """
    reason = why_not() if plan.needs_writes else None
    if reason is None:
        return plan, ""
    if plan.at == "every write":
        return replace(plan, at="every commit"), f"Not at every write: {reason}."
    raise DalsegnoError(
        f"A crash test {words(plan.at)} has to trace the process, and cannot here: {reason}. "
        'Kills `at="every commit"` and `at="random"` work everywhere.'
    )
