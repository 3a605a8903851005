"""Pattern 26: run a prompt, score what comes of it, improve it, and keep the better one."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.graphs.model import END, Loop
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import share, whole
from dalsegno.graphs.patterns.roles import Cast, Role
from dalsegno.graphs.patterns.states import Score, read
from dalsegno.graphs.workflow import Workflow

_RUNNER = "{prompt}"
_SCORER = """How well does this output do what is wanted? Give a score from 0 (useless) to 1 (nothing to improve), and
say in `comments` what is missing or wrong.

Wanted: {goal}

The output: {output}"""
_IMPROVER = """Improve this prompt, so that its output does better what is wanted. Answer with the new prompt alone.

Wanted: {goal}

The best prompt so far: {prompt}

Its output: {output}

What is said of it: {evaluation.comments}

All that was tried, with scores: {trials}"""


class Evaluation(TypedDict):
    """What the scorer says of an output: how good it is, from 0 to 1, and what is missing."""

    score: Score
    comments: str


class Trial(TypedDict):
    """A prompt that was tried, and its score."""

    prompt: Any
    score: float


class Best(TypedDict):
    """The best so far: the prompt, what came of it, and what the scorer said."""

    prompt: Any
    output: Any
    evaluation: Evaluation


class PromptOptimization(TypedDict, total=False):
    """The state: extend it for roles that need more.

    - `goal`: what is wanted
    - `prompt`: the prompt that is tried
    - `output`: what came of it
    - `evaluation`: what the scorer says
    - `best`: the best prompt so far with its output and evaluation. After each trial, and at the end, the three keys
      above have these values
    - `trials`: all prompts with their scores
    - `unimproved`: how many in a row were no better
    - `outcome`: ``"good"`` (good enough), ``"stalled"`` (stopped, because it got no better) or ``"best effort"`` (the
      rounds were used up)
    """

    goal: Any
    prompt: Any
    output: Any
    evaluation: Evaluation
    best: Best | None
    trials: Annotated[list[Trial], operator.add]
    unimproved: int
    outcome: Literal["good", "stalled", "best effort"]


@pattern(26, bound="4 * rounds + 4")
def prompt_optimization(
    runner: Any,
    scorer: Any,
    improver: Any,
    *,
    good_enough: float = 0.9,
    rounds: int = 4,
    patience: int = 2,
    state: Any = PromptOptimization,
    name: str = "prompt_optimization",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Run a prompt, score its output, improve it and run it again; the better one is kept.

    When
    ----
    A prompt will be used many times, and its output can be scored, best by a program over known cases.

    When not
    --------
    - Only this one output shall be better: `generate_critique_revise` revises it.
    - Two prompts exist, and the question is which is better: `ab_test`.

    Parameters
    ----------
    runner
        ``state -> output``. Reads ``state["prompt"]``. A model is asked with just that.
    scorer
        ``state -> {"score", "comments"}``, with a score from 0 to 1. Reads ``state["output"]``.
    improver
        ``state -> prompt``. Reads ``state["prompt"]``, which is the best so far, ``state["evaluation"]`` and
        ``state["trials"]``.
    good_enough
        From this score on, nothing is improved.
    rounds
        The most improvements.
    patience
        After so many improvements in a row that were no better, it stops.
    state
        `PromptOptimization` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"runner": {"timeout": 60}}``.

    Bound
    -----
    `begin`; the runner, the scorer and `keep` for the given prompt; and these with the improver for each of `rounds`.

    Failure
    -------
    A prompt that is no better is dropped, and the next improvement starts from the best again. If `rounds` or
    `patience` are used up, the best prompt stands, and ``outcome`` says why it ended. A score that is no number from
    0 to 1, such as NaN, is a `WrongAnswer`. If a role fails, the run fails, and is resumed there.

    Source
    ------
    Yang et al., "Large Language Models as Optimizers" (2023).

    Example
    -------
    >>> from dalsegno.graphs.patterns import prompt_optimization
    >>> def run(state) -> str:
    ...     return state["prompt"].upper()
    >>> def score(state) -> dict:
    ...     return {"score": min(state["output"].count("PLEASE") / 2, 1.0), "comments": "be polite"}
    >>> def improve(state) -> str:
    ...     return f"please {state['prompt']}"
    >>> flow = prompt_optimization(run, score, improve)
    >>> given = {"goal": "politeness", "prompt": "sum up"}
    >>> flow.compile().invoke(given)["prompt"]
    'please please sum up'
    """
    whole("prompt_optimization", 0, rounds=rounds)
    whole("prompt_optimization", 1, patience=patience)
    share("prompt_optimization", good_enough=good_enough)
    flow = Workflow(name, state, version=version)
    cast = Cast("prompt_optimization", flow, options)
    cast.begin(trials=[], best=None, unimproved=0)
    cast.add(Role(name="runner", key="output", prompt=_RUNNER), runner)
    cast.add(Role(name="scorer", key="evaluation", type=Evaluation, prompt=_SCORER), scorer)

    def keep(state: Any) -> dict[str, Any]:
        tried: Best = {key: read(state, key) for key in ("prompt", "output", "evaluation")}  # type: ignore[assignment]
        before: Best | None = read(state, "best")
        score = tried["evaluation"]["score"]
        better = before is None or score > before["evaluation"]["score"]
        best = tried if better or before is None else before
        unimproved = 0 if better else read(state, "unimproved", 0) + 1
        outcome = "stalled" if unimproved >= patience else "best effort"
        return {
            **best,
            "best": best,
            "trials": [{"prompt": tried["prompt"], "score": score}],
            "unimproved": unimproved,
            "outcome": "good" if best["evaluation"]["score"] >= good_enough else outcome,
        }

    def further(state: Any) -> Literal["to improve", "good", "stalled"]:
        outcome = read(state, "outcome")
        return "to improve" if outcome == "best effort" else outcome

    cast.own("keep", keep)
    again: str | Loop = END
    if rounds:
        cast.add(Role(name="improver", key="prompt", prompt=_IMPROVER), improver)
        flow.add_edge("improver", "runner")
        again = Loop("improver", max=rounds, on_exhausted=END)
    flow.add_edge("begin", "runner").add_edge("runner", "scorer").add_edge("scorer", "keep")
    return flow.add_conditional_edges("keep", further, {"to improve": again, "good": END, "stalled": END})
