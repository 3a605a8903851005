"""Kills at seeded moments: the same end after each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
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


CALLER = """
import operator, os, sys, threading
from typing import Annotated, TypedDict
from dalsegno import END, START, Workflow
from dalsegno.testing import crash_test

class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]

flow = Workflow("linear", State).add_sequence([(n, lambda state: {"log": ["x"]}) for n in "abc"])
flow.add_edge(START, "a").add_edge("c", END)

def files():
    return len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0

before = files()
crash_test(flow, {}, at=[3], db_dir=sys.argv[1]).raise_for_failures()
assert files() == before, (files(), before)
assert threading.active_count() == 1, threading.enumerate()
assert os.listdir(sys.argv[1]) == []
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("as it was")
"""


def test_the_caller_is_left_as_it_was(tmp_path: Path) -> None:
    """In a process of its own: what other tests left open here comes and goes."""
    done = subprocess.run(
        [sys.executable, "-c", CALLER, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "as it was\n", done.stderr


@pytest.mark.torture
@pytest.mark.parametrize("profile", ["durable", "fast"])
def test_a_thousand_random_kills_lose_nothing(
    workflow: Workflow, profile: Literal["durable", "fast"], amount: Callable[[int], int]
) -> None:
    kills = amount(1000)
    report = crash_test(workflow, INPUT, answers=ANSWERS, at="random", kills=kills, again=2, profile=profile)
    print(report.raise_for_failures())
    assert report.kills >= kills
