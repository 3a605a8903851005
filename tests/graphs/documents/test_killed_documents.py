"""A document that is killed in loops in loops, in workflows in it, and while it takes back, comes to the same end."""

from __future__ import annotations

from pathlib import Path

import pytest

from dalsegno.graphs.loading import load_target
from dalsegno.testing import crash_test
from tests.graphs.documents.conftest import Write

INNER = """
name: inner
steps:
  - name: twice
    strategy: parallel
    agent_calls: [{function: "work.py:inc", params: $input.x}, {function: "work.py:double", params: $input.x}]
output: "$current[0]"
"""

NESTED = """
name: nested
input: {n: number}
steps:
  - name: first
    agent_calls:
      - function: work.py:inc
        params: $input.n
        compensation: {function: "work.py:same", params: $result}
  - name: rounds
    strategy: loop
    max: 2
    steps:
      - name: halves
        strategy: loop
        max: 2
        steps:
          - {name: part, strategy: subworkflow, workflow: inner.yaml, params: {x: $current}}
      - name: items
        strategy: map_reduce
        over: [$current, 1]
        max: 2
        agent_calls: [{function: "work.py:inc", params: $current}, {function: "work.py:total", params: $current}]
  - name: pair
    strategy: parallel
    agent_calls:
      - {function: "work.py:inc", params: $current, compensation: {function: "work.py:same", params: $result}}
      - {function: "work.py:double", params: $current, compensation: {function: "work.py:same", params: $result}}
  - name: last
    on_error: compensate
    agent_calls: [{function: "work.py:boom_over", params: "$current[0]"}]
"""


@pytest.mark.parametrize("n", [-20, 20], ids=["done", "taken back"])
def test_a_nested_document_that_is_killed_comes_to_the_same_end(write: Write, folder: Path, n: int) -> None:
    write(INNER, "inner.yaml")
    flow = load_target(str(write(NESTED))).graph
    expected = flow.compile().invoke({"n": n})
    assert expected["outcome"] == ("undone" if n > 0 else "done")
    report = crash_test(flow, {"n": n}, at="random", kills=5, seed=9, profile="fast")
    report.raise_for_failures()
    assert report.kills >= 4


@pytest.mark.torture
@pytest.mark.parametrize("n", [-20, 20], ids=["done", "taken back"])
def test_and_so_with_many_kills_and_killed_again(write: Write, folder: Path, n: int) -> None:
    write(INNER, "inner.yaml")
    report = crash_test(load_target(str(write(NESTED))).graph, {"n": n}, at="random", kills=40, again=1)
    report.raise_for_failures()
