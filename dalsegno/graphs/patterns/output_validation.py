"""Pattern 23: check the form, then the content, repair what is wrong, and escalate what cannot be repaired."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Literal, get_origin

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

from dalsegno.graphs.model import END, START, Loop
from dalsegno.graphs.patterns.catalog import pattern
from dalsegno.graphs.patterns.counting import whole
from dalsegno.graphs.patterns.roles import Cast, Role
from dalsegno.graphs.patterns.states import read
from dalsegno.graphs.workflow import Workflow

_PRODUCER = "Do what is asked, and answer with the result alone.\n\n{request}"
_CONTENT = """Check the content of this output against what was asked for: facts, completeness, tone. List the
problems, one each; none if there are none.

Asked for: {request}

Output: {output}"""
_REPAIR = """Repair the output so that none of the problems is left, and answer with the output alone.

Asked for: {request}

Output: {output}

Problems: {check.problems}"""


class Check(TypedDict):
    """What is wrong with an output, a sentence each; nothing, if it is valid."""

    problems: list[str]


class Checked(TypedDict, total=False):
    """The state: extend it for roles that need more.

    - `request`: what was asked for
    - `output`: what is checked
    - `check`: what the last check found
    - `outcome`: set at the end: ``"valid"`` or ``"escalated"``
    """

    request: Any
    output: Any
    check: Check
    outcome: Literal["valid", "escalated"]


@pattern(23, bound="4 * repairs + (5 if producer else 4)")
def output_validation(
    form: Any,
    content: Any,
    repair: Any,
    *,
    producer: Any = None,
    escalate: Any = None,
    repairs: int = 3,
    state: Any = Checked,
    name: str = "output_validation",
    version: str = "1",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workflow:
    """Check an output's form, then its content; repair what is wrong, and escalate what cannot be repaired.

    When
    ----
    The output goes to a program, or to somebody who must be able to rely on it: JSON, a query, a letter. The cheap
    check comes first. The expensive one is asked only about outputs of the right form.

    When not
    --------
    - The answer of one model only needs a schema: `agent(..., output=...)` sends back by itself what does not fit.
    - An output is not valid or invalid, only better or worse: `generate_critique_revise`.

    Parameters
    ----------
    form
        ``state -> {"problems"}``, which reads ``state["output"]``; or a type that the output must fit, given as JSON
        text or as a value.
    content
        ``state -> {"problems"}``, asked only if the form is right.
    repair
        ``state -> output``. Reads ``state["output"]`` and ``state["check"]["problems"]``.
    producer
        ``state -> output``. Reads ``state["request"]``. None: the output is given.
    escalate
        ``state -> update``: handles an output that is still invalid. None: only the outcome says so.
    repairs
        The most repairs, of both kinds together.
    state
        `Checked` or a schema with its keys.
    options
        Keywords of `Workflow.add_node` by node: ``{"content": {"timeout": 30}}``.

    Bound
    -----
    The producer, if there is one; both checks and their verdict, and again with a repair for each of `repairs`; and
    `escalate`.

    Failure
    -------
    An output that is invalid after the last repair is escalated: `outcome` is ``"escalated"``, and ``check`` has the
    problems. If a role fails, the run fails, and is resumed there.

    Source
    ------
    Guardrails and retries in practice; the two-stage check is syntactic and semantic validation, as of compilers.

    Example
    -------
    >>> from dalsegno.graphs.patterns import output_validation
    >>> def form(state) -> dict:
    ...     return {"problems": [] if state["output"].endswith(".") else ["no full stop"]}
    >>> def content(state) -> dict:
    ...     return {"problems": [] if "rain" in state["output"] else ["no rain"]}
    >>> def repair(state) -> str:
    ...     return "It will rain."
    >>> flow = output_validation(form, content, repair)
    >>> given = {"output": "Sun"}
    >>> flow.compile().invoke(given)["outcome"]
    'valid'
    """
    whole("output_validation", 0, repairs=repairs)
    flow = Workflow(name, state, version=version)
    cast = Cast("output_validation", flow, options)
    if producer is not None:
        cast.add(Role(name="producer", key="output", prompt=_PRODUCER), producer)
        flow.add_edge(START, "producer")
    is_type = inspect.isclass(form) or get_origin(form) is not None
    fitting = _fits(form) if is_type else form
    cast.add(Role(name="form", key="check", type=Check), fitting)
    cast.add(Role(name="content", key="check", type=Check, prompt=_CONTENT), content)
    cast.own("verdict", _verdict)
    if escalate is not None:
        cast.add(Role(name="escalate"), escalate)
    else:
        cast.own("escalate", _escalated)

    flow.add_edge("producer" if producer is not None else START, "form")
    flow.add_conditional_edges("form", _found, {"right": "content", "wrong": "verdict"})
    flow.add_edge("content", "verdict")
    again: str | Loop = "escalate"
    if repairs:
        cast.add(Role(name="repair", key="output", prompt=_REPAIR), repair)
        flow.add_edge("repair", "form")
        again = Loop("repair", max=repairs, on_exhausted="escalate")
    flow.add_conditional_edges("verdict", _found, {"right": END, "wrong": again})
    return flow.add_edge("escalate", END)


def _found(state: Any) -> Literal["right", "wrong"]:
    return "wrong" if read(state, "check")["problems"] else "right"


def _verdict(state: Any) -> dict[str, str]:
    return {"outcome": "valid" if _found(state) == "right" else "escalated"}


def _escalated(state: Any) -> dict[str, str]:
    return {"outcome": "escalated"}


def _fits(kind: Any) -> Any:
    """A check that an output is of a type."""
    adapter = TypeAdapter(kind)

    def fits(state: Any) -> Check:
        output = read(state, "output")
        is_text = isinstance(output, str | bytes)
        try:
            adapter.validate_json(output) if is_text else adapter.validate_python(output)
        except ValidationError as error:
            if is_text and _fits_as_it_is(adapter, output):
                return {"problems": []}
            return {"problems": [_in_words(one) for one in error.errors(include_url=False)]}
        return {"problems": []}

    return fits


def _fits_as_it_is(adapter: TypeAdapter[Any], text: Any) -> bool:
    """Whether a text that is no JSON fits: the type is a text, or one of several."""
    try:
        adapter.validate_python(text, strict=True)
    except ValidationError:
        return False
    return True


def _in_words(error: Any) -> str:
    place = ".".join(map(str, error["loc"]))
    return f"{place}: {error['msg']}" if place else str(error["msg"])
