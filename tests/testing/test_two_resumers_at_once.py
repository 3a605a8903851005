"""A killed run that several processes go on with at once is gone on with by one of them."""

from __future__ import annotations

from collections import Counter

from dalsegno import Workflow
from dalsegno.testing import crash_test

INPUT = {"topic": "rain", "notes": []}
ANSWERS = {"first": "yes", "second": "no"}


def test_of_two_resumers_one_goes_on(workflow: Workflow) -> None:
    report = crash_test(workflow, INPUT, at="every commit", kills=8, resumers=2, answers=ANSWERS)
    report.raise_for_failures()
    assert sum(point.resumed for point in report.points) == 2 * report.kills


def test_of_three_resumers_one_goes_on_wherever_the_process_was_killed(uneven_workflow: Workflow) -> None:
    report = crash_test(uneven_workflow, INPUT, at="random", kills=10, resumers=3, linger=0.002)
    report.raise_for_failures()
    # Once more than undisturbed for the kill, and not once more for another process.
    assert all(max(Counter(point.repeated).values(), default=0) <= 1 for point in report.points)


def test_of_many_that_find_nothing_recorded_one_begins_the_run(fanned_workflow: Workflow) -> None:
    report = crash_test(fanned_workflow, INPUT, at="before commit 1", kills=12, resumers=6)
    report.raise_for_failures()
    assert {found for point in report.points for found in point.found} <= {None, "running", "completed"}
