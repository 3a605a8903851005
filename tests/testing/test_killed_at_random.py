"""Kills at seeded moments: the same end after each."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Literal

import pytest

from dalsegno import Workflow
from dalsegno.testing import crash_test

ANSWERS = {"first": "yes", "second": "no"}
INPUT = {"topic": "rain", "notes": []}


def test_a_hundred_random_kills_lose_nothing(fanned_workflow: Workflow) -> None:
    report = crash_test(fanned_workflow, INPUT, at="random", kills=100).raise_for_failures()
    assert report.kills >= 98  # a run may end before its kill, ten times in a row at most
    assert len({point.kills for point in report.points}) == len(report.points) == 100


def test_the_caller_is_left_as_it_was(linear_workflow: Workflow, tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else set()
    threads = threading.active_count()
    crash_test(linear_workflow, INPUT, at=[5], db_dir=tmp_path).raise_for_failures()
    after = set(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else set()
    assert len(after) <= len(before)  # what earlier tests left open may be closed meanwhile
    assert threading.active_count() <= threads
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.torture
@pytest.mark.parametrize("profile", ["durable", "fast"])
def test_a_thousand_random_kills_lose_nothing(
    workflow: Workflow, profile: Literal["durable", "fast"]
) -> None:
    report = crash_test(workflow, INPUT, answers=ANSWERS, at="random", kills=1000, again=2, profile=profile)
    print(report.raise_for_failures())
    assert report.kills >= 1000
