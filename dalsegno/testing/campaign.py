"""The campaign of a crash test: the undisturbed runs, the plan of kills, and the killed runs."""

from __future__ import annotations

import random
import shutil
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from dalsegno.errors import CrashTestFailed, DefinitionError
from dalsegno.testing.forking import BEGUN, DONE, End, Server
from dalsegno.testing.judging import Same, Story, differences, judged
from dalsegno.testing.kills import Kill, Kills, Points, words
from dalsegno.testing.observing import records
from dalsegno.testing.playing import Play, Stage
from dalsegno.testing.report import CrashPoint, CrashReport
from dalsegno.testing.warming import warm

_CHANCES = 10
"""How often another moment is tried where a run ended before it was killed."""


@dataclass(frozen=True)
class Plan:
    """When to kill: `at` as given to `crash_test`, `kills` runs, each resumed process again `again` times."""

    at: Points
    kills: int | None
    again: int
    seed: int
    timeout: float


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
        self._place = _Place(folder / "run")
        self._stage = Stage(play, self._place.database)
        self._plan = plan
        self._same = same
        self._random = random.Random(plan.seed)
        self._durations: list[float] = []

    def run(self) -> CrashReport:
        """Run it all."""
        began = time.perf_counter()
        reference = self._undisturbed()
        points = tuple(self._points(reference))
        return CrashReport(
            workflow=self._stage.name,
            profile=self._stage.play.profile,
            at=words(self._plan.at),
            seed=self._plan.seed,
            points=points,
            status=reference.status,
            commits=reference.commits,
            executions=sum(reference.ends.values()),
            seconds=time.perf_counter() - began,
        )

    def _undisturbed(self) -> Story:
        """The run to compare with; twice, to see that it can be compared with."""
        stories: list[Story] = []
        for _ in range(2):
            with self._place as place:
                end = self._process(place, None)
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
        return first if first.commits >= second.commits else second

    def _points(self, reference: Story) -> Iterator[CrashPoint]:
        if self._plan.at == "random":
            for _ in range(self._plan.kills or 100):
                yield self._at_a_moment(reference)
            return
        for kills in self._chosen(self._named(reference.commits)):
            again = (self._commit(reference.commits) for _ in range(self._plan.again))
            yield self._killed((*kills, *again), reference)

    def _named(self, last: int) -> list[Kills]:
        """The points that `at` names; a number means both sides of that commit."""
        at = range(1, last + 1) if isinstance(self._plan.at, str) else self._plan.at
        named: list[Kills] = []
        for point in at:
            if isinstance(point, int):
                named += [(Kill(point, "before"),), (Kill(point, "after"),)]
            else:
                named.append(point)
        for first, *_ in named:
            if first.commit is not None and not 1 <= first.commit <= last:
                raise DefinitionError(
                    f"There is no commit {first.commit}: the undisturbed run makes {last}, from 1."
                )
        return named

    def _chosen(self, points: list[Kills]) -> list[Kills]:
        """All of them once, and round again as long as kills are asked for; fewer are drawn."""
        wanted = len(points) if self._plan.kills is None else self._plan.kills
        if wanted < len(points):
            return [points[number] for number in sorted(self._random.sample(range(len(points)), wanted))]
        return [points[number % len(points)] for number in range(wanted)]

    def _commit(self, last: int) -> Kill:
        return Kill(self._random.randint(1, last), self._random.choice(("before", "after")))

    def _at_a_moment(self, reference: Story) -> CrashPoint:
        for _ in range(_CHANCES):
            seconds = statistics.median(self._durations)
            kills = [Kill(moment=self._random.uniform(0, seconds)) for _ in range(1 + self._plan.again)]
            point = self._killed(tuple(kills), reference)
            if point.killed or not point.ok:
                break
        return point

    def _killed(self, kills: tuple[Kill, ...], reference: Story) -> CrashPoint:
        """Run, kill as planned, resume until it ends, and judge."""
        killed = 0
        with self._place as place:
            while True:
                kill = kills[killed] if killed < len(kills) else None
                end = self._process(place, kill)
                if not end.killed:
                    if not killed and not end.hung:
                        self._durations.append(end.seconds)
                    break
                if kill is None:
                    break
                killed += 1
            story = Story.told(records(place.log))
            point = judged(story, reference, self._same, kills, killed, self._trouble(end, story))
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

    def _process(self, place: _Place, kill: Kill | None) -> End:
        stage = self._stage

        def body(tell: Callable[[bytes], None]) -> None:
            random.seed()  # a new process would have numbers of its own
            stage.witness.open(place.log, kill)
            try:
                tell(BEGUN)
                stage.perform()
                tell(DONE)
                stage.check()
            except BaseException as error:
                stage.witness.note("raised", "".join(traceback.format_exception(error)))

        moment = None if kill is None else kill.moment
        return self._server.child(body, str(place.output)).wait(moment, self._plan.timeout)


class _Place:
    """The folder of one run at a time: its database, its notes, what it printed. Gone afterwards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "runs.db"
        self.log = folder / "notes"
        self.output = folder / "printed"

    def printed(self, lines: int = 20) -> str:
        """The last lines that the processes printed."""
        if not self.output.exists():
            return ""
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-lines:])

    def __enter__(self) -> _Place:
        self.folder.mkdir(exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
