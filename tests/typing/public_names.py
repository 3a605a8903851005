"""Read by mypy, never run: what a type checker knows of `import dalsegno`.

Every ignore below is an error that must stay one: mypy reports an ignore that nothing needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_type

import dalsegno
from dalsegno import (
    END,
    Budget,
    DalsegnoError,
    Each,
    Loop,
    RetryPolicy,
    Runner,
    RunResult,
    SqliteCheckpointer,
    Workflow,
    agent,
    human,
    tool,
)
from dalsegno.nodes.agent import Agent
from dalsegno.nodes.human import Human
from dalsegno.nodes.tool import Tool

dalsegno.Wrokflow  # type: ignore[attr-defined]  # noqa: B018
from dalsegno import Wrokflow  # type: ignore[attr-defined]  # noqa: E402, F401


def needs_an_integer(value: int) -> None: ...


def the_names_are_classes_and_not_any(
    workflow: Workflow, runner: Runner, result: RunResult, checkpointer: SqliteCheckpointer
) -> None:
    needs_an_integer(workflow)  # type: ignore[arg-type]
    needs_an_integer(runner)  # type: ignore[arg-type]
    needs_an_integer(result)  # type: ignore[arg-type]
    needs_an_integer(checkpointer)  # type: ignore[arg-type]


assert_type(Budget(supersteps=3), Budget)
assert_type(RetryPolicy(max_attempts=3), RetryPolicy)
assert_type(dalsegno.__version__, str)
assert_type(DalsegnoError("what, where, what next").message, str)
assert_type(agent("openai:any", "Write.", writes="draft"), Agent)
assert_type(human("Good?", answer=bool, writes="good"), Human)
assert_type(tool(len, writes="length"), Tool)


def the_answers_of_a_router_are_of_any_type(
    flow: Workflow, good: Callable[[Any], bool], grade: Callable[[Any], int]
) -> None:
    again = Loop("write", max=3, on_exhausted=END)
    named = {True: END, False: "write"}
    flow.add_conditional_edges("write", good, {True: END, False: "write"})
    flow.add_conditional_edges("write", good, {True: END, False: again})
    flow.add_conditional_edges("write", good, named)
    flow.add_conditional_edges("write", grade, {1: END, 2: again, 3: Each("worker", max=2)})
    flow.add_conditional_edges("write", grade, [END, again])
    flow.add_conditional_edges("write", grade, again)
    flow.add_conditional_edges("write", grade, {1: 2})  # type: ignore[dict-item]


def how_a_run_ended_is_one_of_seven_words(result: RunResult) -> bool:
    return result.status == "complete"  # type: ignore[comparison-overlap]


def modes_of_streams_are_known(runner: Runner) -> None:
    runner.stream({}, stream_mode=["updates", "messages"])
    runner.stream({}, stream_mode="update")  # type: ignore[arg-type]


def listeners_may_be_several(flow: Workflow, heard: list[object]) -> None:
    Runner(flow, on_event=[heard.append, print])
    Runner(flow, on_event=heard.append)
