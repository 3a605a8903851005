"""A run that is killed in the middle of a commit: at a write to the log, between two, or before they are synced."""

from __future__ import annotations

import operator
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest

from dalsegno import END, START, Workflow
from dalsegno.errors import DalsegnoError, DefinitionError
from dalsegno.testing import Kill, crash_test
from dalsegno.testing.crash_kit import campaign
from dalsegno.testing.crash_kit.planning import Plan, planned
from dalsegno.testing.crash_kit.tracing import why_not

INPUT = {"topic": "rain", "notes": []}
ANSWERS = {"first": "yes", "second": "no"}
NO_TRACING = why_not()

traced = pytest.mark.skipif(NO_TRACING is not None, reason=f"no process can be traced: {NO_TRACING}")


class Notes(TypedDict, total=False):
    notes: Annotated[list[str], operator.add]


def workflow_of(node: Any) -> Workflow:
    flow = Workflow("one node", Notes).add_node("node", node)
    return flow.add_edge(START, "node").add_edge("node", END)


@traced
def test_a_kill_at_a_write_loses_nothing(workflow: Workflow) -> None:
    report = crash_test(workflow, INPUT, at="every write", kills=8, answers=ANSWERS)
    report.raise_for_failures()
    assert report.kills == 8
    assert report.writes > 5 * report.commits


@traced
@pytest.mark.parametrize("where", ["here", "link"])
@pytest.mark.parametrize("at", ["every write", "power cuts"])
def test_the_folder_of_the_databases_may_have_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, at: str
) -> None:
    """A relative one, or one by way of a link: the tracer hears of files by their real names. It took the kit's own
    notes for the run's, and saw nothing of the disk that was to forget."""
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to("here")
    monkeypatch.chdir(tmp_path)
    folder = "here" if where == "here" else tmp_path / "link"
    flow = workflow_of(lambda state: {"notes": ["noted"]})
    report = crash_test(flow, {"notes": []}, at=at, kills=3, db_dir=folder).raise_for_failures()
    assert report.kills == 3
    assert all(point.resumed for point in report.points)


@traced
@pytest.mark.torture
@pytest.mark.parametrize("linger", [0.0, 0.002])
def test_kills_at_every_write_there_is_lose_nothing(
    workflow: Workflow, linger: float, points: int | None
) -> None:
    report = crash_test(
        workflow, INPUT, at="every write", kills=points, answers=ANSWERS, linger=linger, again=1
    )
    print(report.raise_for_failures())


def test_every_write_is_a_point_and_every_longer_one_is_torn_too() -> None:
    plan = Plan("every write", kills=None, again=0, seed=0, timeout=60)
    points = planned(plan, 1, [True, False, True], random.Random(0))
    assert [str(kill) for (kill,) in points] == [
        "before write 1", "halfway through write 1", "before write 2", "before write 3",
        "halfway through write 3", "after write 3",
    ]  # fmt: skip


@traced
def test_what_lingers_is_not_acknowledged_and_may_be_done_again(uneven_workflow: Workflow) -> None:
    report = crash_test(uneven_workflow, INPUT, at="every write", kills=12, linger=0.002, seed=1)
    report.raise_for_failures()
    assert report.kills >= 9  # how many writes there are differs, and the last ones may not come


@traced
def test_the_processes_that_resume_are_killed_at_writes_as_well(fanned_workflow: Workflow) -> None:
    report = crash_test(fanned_workflow, INPUT, at="every write", kills=5, again=2, profile="fast")
    report.raise_for_failures()
    assert max(point.killed for point in report.points) > 1


@traced
def test_a_node_may_start_processes_of_its_own(tmp_path: Path) -> None:
    def node(state: Notes) -> Notes:
        program = f"import os; os.write(1, b'hello'); open({str(tmp_path / 'made')!r}, 'w').close()"
        done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, check=True)
        return {"notes": [done.stdout.decode()]}

    report = crash_test(workflow_of(node), {"notes": []}, at=["before write 85", "after write 110"])
    report.raise_for_failures()
    assert (tmp_path / "made").exists()


@traced
def test_a_traced_process_that_hangs_is_ended_and_named() -> None:
    with pytest.raises(DalsegnoError, match=r"did not end within 0\.5 seconds"):
        crash_test(
            workflow_of(lambda state: threading.Event().wait()), {"notes": []}, at="every write", timeout=0.5
        )


@traced
def test_a_write_that_does_not_exist_is_refused(linear_workflow: Workflow) -> None:
    with pytest.raises(DefinitionError, match=r"There is no write 9999: the undisturbed run makes \d+"):
        crash_test(linear_workflow, INPUT, at="before write 9999")


def test_where_no_process_can_be_traced_it_is_killed_at_commits_and_told(
    linear_workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "why_not", lambda: "it is forbidden")
    report = crash_test(linear_workflow, INPUT, at="every write", kills=2).raise_for_failures()
    assert report.instead == "Not at every write: it is forbidden."
    assert report.at == "at every commit"
    assert report.instead in str(report)
    with pytest.raises(DalsegnoError, match=r"by power cuts has to trace .* it is forbidden"):
        crash_test(linear_workflow, INPUT, at="power cuts")


@pytest.mark.parametrize(
    "kill",
    [
        Kill(3, "after"), Kill(moment=0.0125), Kill(write=4), Kill(write=4, side="halfway"),
        Kill(write=9, side="after"), Kill(write=7, side="after", draw=12), Kill(write=7, side="halfway", draw=1),
        Kill(write=5, error="ENOSPC"), Kill(write=5, error="EIO"),
    ],
    ids=str,
)  # fmt: skip
def test_a_point_can_be_read_back_from_its_words(kill: Kill) -> None:
    assert Kill.said(str(kill)) == kill
