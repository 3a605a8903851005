"""A disk that is full, or fails once: the process is told, and the next one goes on."""

from __future__ import annotations

from collections import Counter

import pytest

from dalsegno import Workflow
from dalsegno.testing import crash_test
from dalsegno.testing.tracing import why_not

INPUT = {"topic": "rain", "notes": []}
NO_TRACING = why_not()

pytestmark = pytest.mark.skipif(NO_TRACING is not None, reason=f"no process can be traced: {NO_TRACING}")


def test_a_run_goes_on_after_the_disk_was_full(linear_workflow: Workflow) -> None:
    report = crash_test(linear_workflow, INPUT, at="disk full", kills=10).raise_for_failures()
    assert report.kills == 10


def test_a_run_goes_on_after_an_error_of_the_disk(fanned_workflow: Workflow) -> None:
    report = crash_test(fanned_workflow, INPUT, at="io errors", kills=15).raise_for_failures()
    assert report.kills == 15


def test_an_error_is_met_in_every_state_a_run_can_be_in(fanned_workflow: Workflow) -> None:
    report = crash_test(fanned_workflow, INPUT, at="disk full", kills=25, seed=2).raise_for_failures()
    found = Counter(point.found for point in report.points)
    assert {(None,), ("stopped",)} <= set(found)
