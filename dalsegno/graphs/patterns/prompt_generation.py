"""Pattern 25: one writes the prompt, the other one is asked with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.graphs.model import END, START, Loop
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import whole
from dalsegno.graphs.patterns.roles import Cast, Role
from dalsegno.graphs.patterns.states import read
from dalsegno.graphs.workflow import Workflow

_WRITER = """Write the prompt for a model that will do this task. Say what it is to do and as whom, what a good
result is, in which format it comes, and what to do in the odd case; the model sees nothing but your prompt and the
input below it. Answer with the prompt alone.

The task: {task}"""
_REFUSED = "\n\nThe prompt before, if it was refused, and why: {prompt?} {review.problem?}"
_CHECKER = """Is this a good prompt for the task? Say no, and what is the problem, where the task, the format of the
result or the odd case is left open.

The task: {task}

The prompt: {prompt}"""
_WORKER = "{prompt}\n\n{input?}"


class PromptReview(TypedDict):
    """Whether the prompt will do, and what is the problem where it will not."""

    valid: bool
    problem: str


class PromptGeneration(TypedDict, total=False):
    """The state: extend it for roles that need more.

    - `task`: what the prompt is for
    - `input`: what the prompt is used on
    - `prompt`: the prompt that was written
    - `review`: the checker's word on it
    - `output`: what the worker made of it
    """

    task: Any
    input: Any
    prompt: str
    review: PromptReview | None
    output: Any


@pattern(25, bound="2 * rewrites + 4 if checker else 2")
def prompt_generation(
    writer: Any,
    worker: Any,
    *,
    checker: Any = None,
    rewrites: int = 2,
    state: Any = PromptGeneration,
    name: str = "prompt_generation",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Write a prompt for the task, and ask the next model with it.

    When
    ----
    The tasks differ, and nobody can write a good prompt for each beforehand: every kind of question, document or user
    needs another one. A large model writes, a small one works.

    When not
    --------
    The task is always the same. Write its prompt once, or have it improved by `prompt_optimization`.

    Parameters
    ----------
    writer
        ``state -> prompt``, a text. Reads ``state["task"]``, and after a refusal ``state["review"]["problem"]``.
    worker
        ``state -> output``. Reads ``state["prompt"]`` and ``state["input"]``. A model is asked with just these.
    checker
        ``state -> {"valid", "problem"}``. Reads ``state["prompt"]``. None: the prompt is used as written.
    rewrites
        How often a refused prompt is written again.
    state
        `PromptGeneration` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"worker": {"timeout": 60}}``.

    Bound
    -----
    The writer and the worker. With a checker also `begin` and the check, and for each of `rewrites` the writer and
    the check again.

    Failure
    -------
    If the rewrites are used up, the last prompt is used, and ``review`` says what is wrong with it. A prompt that is
    no text is a `WrongAnswer`. If a role fails, the run fails, and is resumed there.

    Source
    ------
    Zhou et al., "Large Language Models Are Human-Level Prompt Engineers" (2022).

    Example
    -------
    >>> from dalsegno.graphs.patterns import prompt_generation
    >>> def write(state) -> str:
    ...     return f"Answer in capitals: {state['task']}"
    >>> def work(state) -> str:
    ...     return state["input"].upper() if "capitals" in state["prompt"] else state["input"]
    >>> flow = prompt_generation(write, work)
    >>> given = {"task": "repeat", "input": "from the sign"}
    >>> flow.compile().invoke(given)["output"]
    'FROM THE SIGN'
    """
    whole("prompt_generation", 0, rewrites=rewrites)
    flow = Workflow(name, state, version=version)
    cast = Cast("prompt_generation", flow, options)
    told = _WRITER if checker is None else _WRITER + _REFUSED  # without one no prompt is refused
    cast.add(Role(name="writer", key="prompt", type=str, prompt=told), writer)
    cast.add(Role(name="worker", key="output", prompt=_WORKER), worker)
    flow.add_edge("worker", END)
    if checker is None:
        return flow.add_edge(START, "writer").add_edge("writer", "worker")

    def verdict(state: Any) -> Literal["valid", "refused"]:
        return "valid" if read(state, "review")["valid"] else "refused"

    cast.begin(review=None, prompt="")  # an earlier turn's is not of this prompt
    cast.add(Role(name="checker", key="review", type=PromptReview, prompt=_CHECKER), checker)
    again: str | Loop = Loop("writer", max=rewrites, on_exhausted="worker") if rewrites else "worker"
    flow.add_edge("begin", "writer").add_edge("writer", "checker")
    return flow.add_conditional_edges("checker", verdict, {"valid": "worker", "refused": again})
