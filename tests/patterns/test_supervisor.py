"""Pattern 13: tasks go out side by side, and whatever comes back, the lead decides what to do."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from dalsegno import Runner
from dalsegno.errors import DefinitionError
from dalsegno.graphs.patterns import Node, Worker, sequential, supervisor
from dalsegno.nodes.agent import agent
from dalsegno.testing import Reply, ScriptedChatModel


def echo(state: Any) -> Any:
    """Says the same again."""
    return state["task"]


def to_all(*names: str) -> Any:
    def lead(state: Any) -> dict[str, Any]:
        return {"tasks": [] if state["results"] else [{"to": n, "task": i} for i, n in enumerate(names)]}

    return lead


def test_five_workers_work_side_by_side() -> None:
    met = threading.Barrier(5, timeout=20)

    def worker(state: Any) -> int:
        return met.wait()

    names = list("abcde")
    flow = supervisor(to_all(*names), dict.fromkeys(names, worker))
    output = asyncio.run(flow.compile().ainvoke({"request": ""}))
    assert sorted(done["result"] for done in output["results"]) == [0, 1, 2, 3, 4]


def test_results_stand_in_the_order_of_the_tasks() -> None:
    flow = supervisor(to_all("z", "a", "z", "m"), {"a": echo, "m": echo, "z": echo})
    output = flow.compile().invoke({"request": ""})
    assert [(done["to"], done["result"]) for done in output["answer"]] == [
        ("z", 0),
        ("a", 1),
        ("z", 2),
        ("m", 3),
    ]


def test_a_model_leads_and_models_work() -> None:
    tasks = {"tasks": [{"to": "poet", "task": "praise it"}, {"to": "clerk", "task": "count it"}]}
    with (
        ScriptedChatModel(
            [
                Reply(tasks, expect=["poet: writes verse", "What was done until now: []"]),
                Reply({"tasks": [], "answer": "O 3!"}, expect='"result":"three"'),
            ]
        ) as lead,
        ScriptedChatModel([Reply("O rain", expect="praise it")]) as poet,
        ScriptedChatModel([Reply("three", expect="Count: count it")]) as clerk,
    ):
        workers = {"poet": Worker(poet, about="writes verse"), "clerk": agent(clerk, "Count: {task}")}
        flow = supervisor(lead, workers)
        assert flow.validate().findings == ()
        output = flow.compile().invoke({"request": "rain"})
    assert output["answer"] == "O 3!"
    assert output["outcome"] == "done"


def test_tasks_beyond_the_most_come_back() -> None:
    flow = supervisor(to_all("a", "b", "a"), {"a": echo, "b": echo}, max_tasks=2)
    last = flow.compile().invoke({"request": ""})["results"][-1]
    assert last["error"].startswith("Not given out: at most 2 tasks at once")


def test_a_hundred_tasks_at_once_come_back_and_the_run_goes_on() -> None:
    lead = to_all(*["echo"] * 100)
    flow = supervisor(lead, [echo], max_tasks=3)
    output = flow.compile().invoke({"request": ""})
    assert [(done["number"], done.get("result")) for done in output["results"]] == [
        (1, 0),
        (2, 1),
        (3, 2),
        (4, None),
        (5, None),
        (6, None),
    ]
    last = output["results"][-1]
    assert last["task"] == list(range(5, 100))
    assert last["error"] == "95 tasks were not given out: at most 3 at once. Ask again, for fewer."
    assert output["outcome"] == "done"


def test_a_lead_that_gives_no_tasks_is_done_at_once() -> None:
    flow = supervisor(lambda state: {"tasks": [], "answer": 1}, [echo])
    assert flow.compile().invoke({"request": ""})["answer"] == 1


def test_a_workflow_works_and_its_failure_comes_back(tmp_path: Path) -> None:
    def strict(state: Any) -> str:
        if state["value"] == 1:
            raise ValueError("not that")
        return "well"

    worker = Node(sequential([strict]), inputs={"value": "task"}, outputs={"results": "value"})
    flow = supervisor(to_all("inner", "inner"), {"inner": worker, "echo": echo})
    assert flow.validate().findings == ()
    with Runner(flow, db=tmp_path / "r.db") as runner:
        results = runner.run({"request": ""}).raise_for_status().output["results"]
    assert [done.get("result") or done["error"] for done in results] == ["well", "ValueError: not that"]


@pytest.mark.parametrize(
    ("workers", "options", "message"),
    [
        ([], {}, "no workers"),
        ([echo, echo], {}, "two workers are called `echo`"),
        ([echo], {"rounds": 0}, "rounds=0"),
        ([echo], {"max_tasks": -1}, "max_tasks=-1"),
        ({"nobody": echo}, {}, "nobody"),
    ],
)
def test_what_cannot_be_meant_is_refused(workers: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        supervisor(to_all("echo"), workers, **options)
