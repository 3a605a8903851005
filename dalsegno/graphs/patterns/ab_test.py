"""Pattern 24: which of several ways is better, over many cases, and how sure is that?"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from langgraph.types import Overwrite, Send
from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.errors import DefinitionError, PatternError
from dalsegno.graphs.model import END, START, Each
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.comparing import Comparison, compared
from dalsegno.graphs.patterns.counting import whole
from dalsegno.graphs.patterns.filing import filed
from dalsegno.graphs.patterns.roles import Cast, Role, named
from dalsegno.graphs.patterns.states import Failure, Score, failure, merged, read
from dalsegno.graphs.workflow import Workflow

_VARIANT = "Do what is asked, and answer with the result alone.\n\n{case}"
_EVALUATOR = """How good is this output for the case? Give each criterion a score from 0 (useless) to 1 (nothing to
improve), and judge by what stands there alone.

The case: {case}

The output: {output}"""


class Output(TypedDict):
    """What a variant made of a case, which is named by its place in the list."""

    variant: str
    case: int
    output: Any


class Scored(TypedDict):
    """What the evaluator gave an output, by criterion."""

    variant: str
    case: int
    scores: dict[str, float]


class ABTest(TypedDict, total=False):
    """The state: extend it for roles that need more.

    - `cases`: what every variant is given
    - `case`: the case that a variant or the evaluator is sent
    - `output`: the output that the evaluator is sent
    - `outputs`: the outputs, by variant and case
    - `scored`: what the evaluator gave for them, by variant and case
    - `comparison`: the result over all cases
    - `failures`: the failures of variants that lose a case by failing
    """

    cases: list[Any]
    case: Any
    output: Any
    outputs: Annotated[dict[str, Output], merged]
    scored: Annotated[dict[str, Scored], merged]
    comparison: Comparison
    failures: Annotated[list[Failure], operator.add]


@pattern(24, bound="5")
def ab_test(
    variants: Sequence[Any] | Mapping[str, Any],
    evaluator: Any,
    *,
    criteria: Sequence[str] | Mapping[str, float] = ("quality",),
    level: float = 0.95,
    margin: float = 0.0,
    seed: int = 0,
    max_cases: int = 200,
    on_error: Literal["fail", "lose"] = "fail",
    state: Any = ABTest,
    name: str = "ab_test",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Run variants over cases, score their outputs, and say which variant is better and how sure that is.

    When
    ----
    You have to choose between two or more prompts, models or ways, and have cases like those to come. The variants
    run side by side, over all cases at once.

    When not
    --------
    - There is one case, and the best answer to it counts: `ensemble`.
    - There is one prompt, to be made better: `prompt_optimization`.

    Parameters
    ----------
    variants
        ``state -> output``, two or more. Each reads ``state["case"]``. A sequence, or a mapping by name.
    evaluator
        ``state -> {criterion: score}``, with scores from 0 to 1. Reads ``state["case"]`` and ``state["output"]``. It
        is not told whose output it is.
    criteria
        What is scored: names, or a mapping of names to weights.
    level
        How sure a recommendation must be. With more than two variants each comparison must be surer (Bonferroni).
    margin
        Differences of scores up to this count as ties.
    seed
        For the resampling: the same outputs give the same intervals.
    max_cases
        The most cases.
    on_error
        ``"fail"``: a variant that fails, fails the run. ``"lose"``: it scores 0 in that case.
    state
        `ABTest` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"evaluator": {"timeout": 60}}``.

    Bound
    -----
    `begin`, all variants over all cases, `gather`, all scores, `compare`.

    Failure
    -------
    If the cases do not show that one variant is better, ``comparison["recommended"]`` is None, and
    ``comparison["why"]`` says so. A score that is no number from 0 to 1, such as NaN, is a `WrongAnswer`. No cases,
    or too many, fail the run in `begin`. If a variant fails, the run fails, and is resumed there with the outputs of
    the others. With ``"lose"``, the failure is in ``failures``.

    Source
    ------
    Paired comparison with an exact interval for the wins (Clopper and Pearson, 1934) and the bootstrap for the mean
    difference (Efron, 1979).

    Example
    -------
    >>> from dalsegno.graphs.patterns import ab_test
    >>> def first(state) -> str:
    ...     return state["case"].split()[0]
    >>> def longest(state) -> str:
    ...     return max(state["case"].split(), key=len)
    >>> def evaluate(state) -> dict:
    ...     return {"quality": len(state["output"]) / len(state["case"])}
    >>> flow = ab_test([first, longest], evaluate)
    >>> given = {"cases": [f"a {word} is" for word in ("sign", "mark", "coda", "rest", "note", "beat", "clef")]}
    >>> flow.compile().invoke(given)["comparison"]["recommended"]
    'longest'
    """
    played = named("ab_test", variants, least=2, what="variant")
    weights = _weights(criteria)
    _check(level, margin, max_cases, on_error)
    flow = Workflow(name, state, version=version)
    cast = Cast("ab_test", flow, options)

    def begin(state: Any) -> dict[str, Any]:
        cases = read(state, "cases") or []
        if not isinstance(cases, list | tuple):
            raise PatternError(
                f"`ab_test` was given {type(cases).__name__} as `cases`, where a list is expected. Give the run "
                '{"cases": [...]}, one for each.'
            )
        if not 1 <= len(cases) <= max_cases:
            raise PatternError(
                f"`ab_test` compares over 1 to {max_cases} cases, and {len(cases) or 'none'} are given. Give `cases`, "
                "or raise max_cases=."
            )
        return {"outputs": Overwrite({}), "scored": Overwrite({}), "failures": Overwrite([])}

    def every(state: Any) -> list[Send]:
        cases = enumerate(read(state, "cases"))
        return [Send(variant, {"case": case, "number": n}) for n, case in cases for variant in played]

    def outputs(state: Any) -> list[Output]:
        made = read(state, "outputs", {}).values()
        return sorted(made, key=lambda each: (each["case"], list(played).index(each["variant"])))

    def judged(state: Any) -> Any:
        cases = read(state, "cases")
        sends = [
            Send("evaluator", {**made, "case": cases[made["case"]], "of": made}) for made in outputs(state)
        ]
        return sends or "nothing made"

    def compare(state: Any) -> dict[str, Any]:
        totals = {variant: [0.0] * len(read(state, "cases")) for variant in played}
        for each in read(state, "scored", {}).values():
            scores = each["scores"]
            totals[each["variant"]][each["case"]] = sum(w * scores[c] for c, w in weights.items())
        return {"comparison": compared(totals, level=level, margin=margin, seed=seed)}

    cast.own("begin", begin, reads=("cases",), writes=("outputs", "scored", "failures"))
    for variant, node in played.items():
        role = Role(name=variant, key="outputs", prompt=_VARIANT)
        caught = _caught(variant) if on_error == "lose" else None
        around = filed("outputs", _made(variant), fell=_lost, actor=node)
        cast.add(role, node, on_failure=caught, around=around)
        flow.add_edge(variant, "gather")
    typed: Any = TypedDict  # made here, for it knows the criteria
    scores = typed("Scores", dict.fromkeys(weights, Score))
    judge = Role(name="evaluator", key="scored", type=scores, prompt=_EVALUATOR)
    cast.own("gather", lambda state: {}, reads=(), writes=())
    cast.add(judge, evaluator, around=filed("scored", _scored, actor=evaluator))
    cast.own("compare", compare)
    flow.add_edge(START, "begin")
    flow.add_conditional_edges("begin", every, {variant: Each(variant, max=max_cases) for variant in played})
    each = Each("evaluator", max=max_cases * len(played))
    nothing = {"nothing made": "compare"} if on_error == "lose" else {}  # every variant lost every case
    flow.add_conditional_edges("gather", judged, {"evaluator": each, **nothing})
    return flow.add_edge("evaluator", "compare").add_edge("compare", END)


def _made(variant: str) -> Any:
    def made(sent: Any, output: Any) -> dict[str, dict[str, Output]]:
        one: Output = {"variant": variant, "case": sent["number"], "output": output}
        return {"outputs": {_named(one): one}}

    return made


def _scored(sent: Any, scores: Any) -> dict[str, dict[str, Scored]]:
    of = sent["of"]
    return {"scored": {_named(of): {"variant": of["variant"], "case": of["case"], "scores": scores}}}


def _named(output: Output) -> str:
    return f"{output['variant']}, case {output['case']}"


def _caught(variant: str) -> Any:
    return lambda _, error: {"outputs": failure(variant, error)}


def _lost(sent: Any, failed: Failure) -> dict[str, Any]:
    return {"failures": [{**failed, "name": f"{failed['name']}, case {sent['number']}"}]}


def _weights(criteria: Any) -> dict[str, float]:
    """The weights of the criteria, which add up to 1."""
    names = criteria if isinstance(criteria, Iterable) else ()
    given = dict(criteria) if isinstance(criteria, Mapping) else dict.fromkeys(names, 1.0)
    are_meant = (
        not isinstance(criteria, str)
        and all(isinstance(criterion, str) for criterion in given)
        and all(isinstance(weight, int | float) and weight >= 0 for weight in given.values())
        and 0 < sum(given.values()) < float("inf")
    )
    if not are_meant:
        raise DefinitionError(
            f"ab_test(criteria={criteria!r}): names, or a mapping of names to weights of 0 or more, not all of them 0."
        )
    total = sum(given.values())
    return {criterion: weight / total for criterion, weight in given.items()}


def _check(level: Any, margin: Any, max_cases: Any, on_error: Any) -> None:
    if not isinstance(level, int | float) or not 0 < level < 1:
        raise DefinitionError(f"ab_test(level={level!r}): how sure, between 0 and 1, such as 0.95.")
    if not isinstance(margin, int | float) or not 0 <= margin < 1:
        raise DefinitionError(f"ab_test(margin={margin!r}): a difference of scores, from 0 to less than 1.")
    whole("ab_test", 1, max_cases=max_cases)
    if on_error not in ("fail", "lose"):
        raise DefinitionError(f'ab_test(on_error={on_error!r}): it is "fail" or "lose".')
