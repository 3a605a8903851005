"""Pattern 18: several answer the same, and where they agree is where to trust them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Annotated, Any, Literal

from langgraph.types import Overwrite
from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.errors import DefinitionError, TooFewAnswers
from dalsegno.graphs.model import END
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import share, whole
from dalsegno.graphs.patterns.roles import Cast, Node, Role, failed_as, named
from dalsegno.graphs.patterns.states import Failure, Score, merged, read
from dalsegno.graphs.workflow import Workflow

_MEMBER = "Do what is asked, and answer with the result alone.\n\n{request}"
_JUDGE = """Several were asked the same, and none saw another's answer. Compare their answers. Give the best one as
`answer`, which may be put together from several; say in `agreement`, from 0 (each says something else) to 1 (all say
the same), how far they agree, and name in `differences` each point on which they do not.

Asked for: {request}

Their answers: {answers}"""
_ARBITER = """Several were asked the same, and do not agree. Decide, and answer with the result alone.

Asked for: {request}

Their answers: {answers}

Where they differ: {verdict.differences}"""


class Verdict(TypedDict):
    """What comes of the answers: one of them, how far they agree, from 0 to 1, and where they do not."""

    answer: Any
    agreement: Score
    differences: list[str]


class Ensemble(TypedDict, total=False):
    """The state: extend it for members that need more.

    - `request`: what each member is asked
    - `answers`: what each one said
    - `verdict`: the judgement of the answers
    - `value`: the answer, set at the end
    - `confidence`: how far it can be trusted, from 0 to 1
    - `disputed`: true if the answer needs a look
    - `failures`: the failures of members that were allowed to fail
    """

    request: Any
    answers: Annotated[dict[str, Any], merged]
    verdict: Verdict
    value: Any
    confidence: Score
    disputed: bool
    failures: Annotated[list[Failure], operator.add]


@pattern(18, bound="5 if arbiter else 4")
def ensemble(
    members: Any,
    *,
    judge: Any = "majority",
    times: int = 1,
    same: Callable[[Any], Hashable] | None = None,
    agreed: float = 0.67,
    arbiter: Any = None,
    on_error: Literal["fail", "collect"] = "fail",
    state: Any = Ensemble,
    name: str = "ensemble",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Ask several members the same, independently. An answer on which they agree is trusted, any other is disputed.

    When
    ----
    A wrong answer costs more than asking several times, and right answers look alike: a class, a number, a name, a
    yes or no. Different models make different errors, so they serve better than one model asked again.

    When not
    --------
    - One answer will do.
    - The answers are long texts that never look alike, and nobody can judge them. To polish a text, use
      `generate_critique_revise`.
    - Different experts answer different questions: `specialists`.

    Parameters
    ----------
    members
        ``state -> answer``. Each reads ``state["request"]``. A sequence, or a mapping by name.
    judge
        ``"majority"``: the answer that most members gave. Its share of all answers is the agreement; of two with the
        same share, the one given first counts. Or ``state -> {"answer", "agreement", "differences"}``, which reads
        ``state["answers"]``.
    times
        How often each member is asked. From 2 on, the nodes are called ``name 1``, ``name 2``.
    same
        ``answer -> key``: answers with one key are the same to the majority. By default, case and spaces at the ends
        of a text do not count.
    agreed
        The agreement below which the answer is disputed.
    arbiter
        ``state -> answer``: decides about a disputed answer, and may be a `human`. None: the judge's answer stands.
    on_error
        ``"fail"``: a failed member fails the run. ``"collect"``: its failure is kept, and counts as an answer that
        agrees with none.
    state
        `Ensemble` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"judge": {"timeout": 60}}``.

    Bound
    -----
    `begin`, all members in one superstep, `judge`, `respond`; and the arbiter, if there is one.

    Failure
    -------
    A disputed answer says so: ``disputed`` is true, ``confidence`` is low, and ``verdict["differences"]`` shows who
    said what. If a member fails, the run fails, and is resumed there. With ``"collect"`` it is in ``failures``, and
    the run fails only if nobody answered, with `TooFewAnswers`.

    Source
    ------
    Wang et al., "Self-Consistency Improves Chain of Thought Reasoning in Language Models" (2022); N-version
    programming: Avizienis (1985).

    Example
    -------
    >>> from dalsegno.graphs.patterns import ensemble
    >>> def ends(state) -> str:
    ...     return "plural" if state["request"].endswith("s") else "singular"
    >>> def article(state) -> str:
    ...     return "singular" if state["request"].startswith("a ") else "plural"
    >>> def length(state) -> str:
    ...     return "Singular" if len(state["request"]) < 9 else "Plural"
    >>> flow = ensemble([ends, article, length])
    >>> given = {"request": "a glass"}
    >>> flow.compile().invoke(given)["value"]
    'singular'
    """
    played = _asked(named("ensemble", members, what="member"), times)
    _check(played, judge, agreed, on_error)
    flow = Workflow(name, state, version=version)
    cast = Cast("ensemble", flow, options)
    cast.begin(answers={}, failures=[], confidence=0.0)
    for member, node in played.items():
        role = Role(name=member, key="answers", item=member, prompt=_MEMBER)
        cast.add(role, node, on_failure=failed_as(member) if on_error == "collect" else None)
        flow.add_edge("begin", member)

    def heard(state: Any) -> dict[str, Any]:
        answers = read(state, "answers", {})
        if not answers:
            raise _nobody(read(state, "failures", []))
        return {member: answers[member] for member in played if member in answers}

    if judge == "majority":
        cast.own("judge", lambda state: {"verdict": majority(heard(state), len(played), same)})
    else:
        cast.add(Role(name="judge", key="verdict", type=Verdict, prompt=_JUDGE), judge)

    def verdict(state: Any) -> Literal["agreed", "disputed"]:
        return "agreed" if read(state, "verdict")["agreement"] >= agreed else "disputed"

    def respond(state: Any) -> dict[str, Any]:
        said, disputed = read(state, "verdict"), verdict(state) == "disputed"
        value = read(state, "value") if disputed and arbiter is not None else said["answer"]
        answers = Overwrite(heard(state))
        return {
            "value": value,
            "confidence": said["agreement"],
            "disputed": disputed,
            "answers": answers,
        }

    cast.own("respond", respond)
    flow.add_edge(list(played), "judge")
    if arbiter is None:
        flow.add_edge("judge", "respond")
    else:
        cast.add(Role(name="arbiter", key="value", prompt=_ARBITER), arbiter)
        flow.add_conditional_edges("judge", verdict, {"agreed": "respond", "disputed": "arbiter"})
        flow.add_edge("arbiter", "respond")
    return flow.add_edge("respond", END)


def majority(
    answers: Mapping[str, Any], asked: int, same: Callable[[Any], Hashable] | None = None
) -> Verdict:
    """The answer that most gave, its share of those that were asked, and who said what else.

    >>> majority({"a": "Yes", "b": "no", "c": "yes "}, 3)
    {'answer': 'Yes', 'agreement': 0.6666666666666666, 'differences': ["b: 'no'"]}
    """
    groups: dict[Hashable, list[str]] = {}
    for member, answer in answers.items():
        groups.setdefault((same or _alike)(answer), []).append(member)
    most = max(groups.values(), key=len)
    differences = [f"{member}: {answer!r}" for member, answer in answers.items() if member not in most]
    return {"answer": answers[most[0]], "agreement": len(most) / asked, "differences": differences}


def _alike(answer: Any) -> Hashable:
    """What equal answers have in common: of a mapping its items, of a set its elements, whatever their order."""
    if isinstance(answer, str):
        return answer.strip().casefold()
    if isinstance(answer, Mapping):
        return frozenset((key, _alike(value)) for key, value in answer.items())
    if isinstance(answer, list | tuple):
        return tuple(map(_alike, answer))
    if isinstance(answer, set | frozenset):
        return frozenset(map(_alike, answer))
    try:
        hash(answer)
    except TypeError:
        return repr(answer)
    return answer  # type: ignore[no-any-return]  # it has a hash


def _asked(members: Mapping[str, Node], times: Any) -> dict[str, Node]:
    whole("ensemble", 1, times=times)
    if times == 1:
        return dict(members)
    return {f"{member} {turn}": node for member, node in members.items() for turn in range(1, times + 1)}


def _check(played: Sequence[str] | Mapping[str, Any], judge: Any, agreed: Any, on_error: Any) -> None:
    if len(played) < 2:
        raise DefinitionError(
            "ensemble: one answer agrees with itself. Give several members, or ask one several times: times=3."
        )
    share("ensemble", agreed=agreed)
    if on_error not in ("fail", "collect"):
        raise DefinitionError(f'ensemble(on_error={on_error!r}): it is "fail" or "collect".')
    if isinstance(judge, str) and judge != "majority" and ":" not in judge:
        raise DefinitionError(
            f'ensemble(judge={judge!r}): "majority", a function, or a model ("provider:name").'
        )


def _nobody(failures: Sequence[Failure]) -> TooFewAnswers:
    why = "; ".join(f"`{f['name']}`: {f['error']}: {f['message']}" for f in failures)
    return TooFewAnswers(
        f"`ensemble` got no answer at all. {why}. Mend what failed and start again.",
        needed=1,
        answered=0,
        failures=tuple(failures),
    )
