"""A prompt that is refused until the rewrites are spent, and a writer that writes no text."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import prompt_generation


def write(state: Any) -> str:
    before = state["review"]["problem"] if state["review"] else "none"
    return f"{state['task']}, please ({before})"


async def refuse(state: Any) -> dict[str, Any]:
    return {"valid": False, "problem": f"{len(state['prompt'])} characters"}


def work(state: Any) -> str:
    return f"{state['prompt']}: {state['input']}"


def no_text(state: Any) -> Any:
    return 42


def fixed(state: Any) -> str:
    return "repeat"


CASE = Case(
    pattern=prompt_generation,
    args=(write, work),
    options={"checker": refuse, "rewrites": 2},
    given={"task": "repeat", "input": "rain"},
    expect={
        "output": "repeat, please (30 characters): rain",
        "review": {"valid": False, "problem": "30 characters"},
    },
    gives="output",
    failing=Failing(
        args=(no_text, work),
        options={},
        given={"task": "repeat", "input": "rain"},
        error=("WrongAnswer", "`writer` of the pattern `prompt_generation` answered 42 (int), where str"),
    ),
    slot=lambda node, state: prompt_generation(fixed, node, state=state),
    slot_key="output",
    slot_given={"task": "repeat", "input": "rain"},
)
