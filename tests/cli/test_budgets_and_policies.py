"""What a run may spend is said on the command line, and what policies do is seen there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SPENDING = """
from typing import TypedDict

from dalsegno import END, START, Fallback, RetryPolicy, Workflow
from dalsegno.nodes.policies import spend


class State(TypedDict, total=False):
    text: str


def ask(state: State):
    spend(model_calls=1, model="tiny")
    spend(input_tokens=1000, output_tokens=200, model="tiny")
    return {"text": "asked"}


spending = Workflow("spending", State)
spending.add_node("first", ask).add_node("second", ask)
spending.add_edge(START, "first").add_edge("first", "second").add_edge("second", END)

failures = [ConnectionError("no network")]


def flaky(state: State):
    if failures:
        raise failures.pop()
    return {"text": "came after all"}


def broken(state: State):
    raise ConnectionError("gone")


acting = Workflow("acting", State)
acting.add_node(flaky, retry=RetryPolicy(max_attempts=2, initial_interval=0, jitter=False))
acting.add_node(broken, fallback=Fallback({"text": "as yesterday"}))
acting.add_edge(START, "flaky").add_edge("flaky", "broken").add_edge("broken", END)
"""


@pytest.fixture
def spending(folder: Path) -> Path:
    (folder / "spending.py").write_text(SPENDING)
    return folder


def test_a_run_stops_at_its_budget_says_so_and_goes_on_with_more(dalsegno: Any, spending: Path) -> None:
    stopped = dalsegno("run", "spending.py:spending", "--thread", "t1", "--budget", "model_calls=1")
    assert stopped.code == 1
    assert "The run has spent 1 of 1 model calls (`first` 1), and `second` needs more" in stopped.out
    assert "spent   1 of 1 model calls · 1,200 tokens" in stopped.out
    assert "give it more: dalsegno resume --budget model_calls=MORE t1" in stopped.out
    assert "budget  the model calls of the run are spent" in stopped.err

    shown = dalsegno("show", "t1").out
    assert "give it more: dalsegno resume --budget model_calls=MORE t1" in shown
    assert ["first", "1", "1,200", "—"] in [line.split() for line in shown.splitlines()]

    done = dalsegno("resume", "t1", "--budget", "model_calls=5")
    assert done.code == 0, done.err
    assert "2 of 5 model calls · 2,400 tokens" in done.out


def test_a_budget_of_money_names_its_prices_as_json(dalsegno: Any, spending: Path) -> None:
    prices = json.dumps({"cost": 0.005, "prices": {"tiny": [2, 8]}})
    stopped = dalsegno("run", "spending.py:spending", "--json", "--budget", prices)
    usage = json.loads(stopped.out)["usage"]
    assert (usage["cost"], usage["budget"]["prices"]) == (0.0072, {"tiny": [2, 8]})
    unknown = dalsegno("run", "spending.py:spending", "--budget", "cost=1")
    assert "calls the model 'tiny', whose price is not known" in unknown.out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("tokens", "it is WHAT=LIMIT, such as tokens=50000"),
        ("calls=3", "did you mean `model_calls`? It is one of supersteps, model_calls, tokens"),
        ("tokens=many", "the limit is a number"),
        ("tokens=-1", "a limit is a number, 0 or more"),
        ("tokens=nan", "a limit is a number, 0 or more"),
        ('{"tokens": "x"}', "a limit is a number, 0 or more"),
        ('{"prices": 3}', "prices are"),
        ('{"prices": {"tiny": 3}}', "a price is (input, output)"),
        ('{"cost": 1, "prices": {"tiny": [3, null]}}', "a price is (input, output)"),
        ('{"cost": 1, "prices": {"tiny": ["3", 4]}}', "a price is (input, output)"),
        ("{", "is no JSON"),
        ("@missing.json", "cannot be read"),
    ],
)
def test_a_budget_that_cannot_be_meant_exits_2(dalsegno: Any, spending: Path, given: str, said: str) -> None:
    for command in (("run", "spending.py:spending"), ("resume", "t1")):
        refused = dalsegno(*command, "--budget", given)
        assert (refused.code, refused.out) == (2, "")
        assert said in refused.err


def test_what_policies_do_is_seen_while_it_runs_and_counted_in_the_ledger(
    dalsegno: Any, spending: Path
) -> None:
    ran = dalsegno("run", "spending.py:acting", "--thread", "t1")
    assert ran.code == 0, ran.err
    lines = [" ".join(line.split()) for line in ran.err.splitlines()]
    assert "superstep 1 flaky retry tries again at once, after ConnectionError" in lines
    assert (
        "superstep 2 broken fallback {'text': 'as yesterday'} answers instead, after ConnectionError: gone"
        in lines
    )
    shown = [line.split() for line in dalsegno("show", "t1").out.splitlines()]
    assert ["flaky", "retry", "again", "1"] in shown
    assert ["broken", "fallback", "answered", "1"] in shown
    usage = json.loads(dalsegno("show", "t1", "--json").out)["usage"]
    assert usage["policies"] == {"flaky": {"retry again": 1}, "broken": {"fallback answered": 1}}


FAN = """
import operator
from typing import Annotated, TypedDict

from langgraph.types import Send

from dalsegno import END, START, Each, RetryPolicy, Workflow


class State(TypedDict, total=False):
    told: Annotated[list[int], operator.add]


failed = set()


def spread(state: State):
    return [Send("work", {"number": n}) for n in range(3)]


def work(sent: dict):
    if sent["number"] not in failed:
        failed.add(sent["number"])
        raise ConnectionError("no network")
    return {"told": [sent["number"]]}


fan = Workflow("fan", State).add_node("begin", lambda state: {})
fan.add_node(work, retry=RetryPolicy(max_attempts=2, initial_interval=0, jitter=False))
fan.add_edge(START, "begin").add_conditional_edges("begin", spread, [Each("work", max=3)]).add_edge("work", END)
"""


def test_of_what_is_sent_to_one_line_counts_what_policies_did(dalsegno: Any, folder: Path) -> None:
    (folder / "fan.py").write_text(FAN)
    ran = dalsegno("run", "fan.py:fan")
    assert ran.code == 0, ran.err
    (line,) = [line for line in ran.err.splitlines() if "work ×3" in line]
    assert line.endswith("attempt 2  retry again ×3")
