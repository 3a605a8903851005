"""Read by mypy, never run: what a type checker knows of `import dalsegno`.

Every ignore below is an error that must stay one: mypy reports an ignore that nothing needs.
"""

from __future__ import annotations

from typing import assert_type

import dalsegno
from dalsegno import (
    Budget,
    DalsegnoError,
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
