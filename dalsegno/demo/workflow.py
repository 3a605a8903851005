"""The demo's workflow: `grounded_answer` over Python's own documentation topics.

Target ``dalsegno.demo.workflow:flow``. With ``DALSEGNO_MODEL=provider:name`` a chat model writes the
answer (the extra ``models``); without it sentences are quoted, and nothing leaves the machine.
"""

from __future__ import annotations

import functools
import os
from typing import Any

from dalsegno.demo import reading
from dalsegno.demo.library import Library
from dalsegno.errors import DalsegnoError, DefinitionError
from dalsegno.graphs.patterns.grounded_answer import GroundedAnswer, grounded_answer
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.models import resolved

WIDTHS = (5, 15, 40)
"""Passages retrieved at the first, second and third attempt."""

_PROMPT = """Answer the question in one to four sentences, from the passages alone. Write after each
sentence the id of its passage in square brackets. If the passages do not answer it, say so.

Question: {question}

{passages}"""


_WITHOUT = "(Without --model the demo quotes sentences and needs none.)"


@functools.cache
def library() -> Library:
    """The topics of this Python, indexed once a process, in memory."""
    return Library.open()


def flow() -> Workflow:
    """The workflow; a factory, so that it reads ``DALSEGNO_MODEL`` when it is made."""
    model = os.environ.get("DALSEGNO_MODEL")
    generate = _generate_with(model) if model else _generate
    quiet = {role: {"calls": 0} for role in ("retrieve", "grade", "rerank", "critic")}
    return grounded_answer(
        _retrieve,
        _grade,
        generate,
        _critic,
        rerank=_rerank,
        retries=len(WIDTHS) - 1,
        options={**quiet, "generate": {"calls": 1 if model else 0}},
    )


def _retrieve(state: GroundedAnswer) -> dict[str, Any]:
    width = WIDTHS[min(state.get("attempt", 0), len(WIDTHS) - 1)]
    return {"passages": library().search(state["question"], width)}


def _grade(state: GroundedAnswer) -> dict[str, Any]:
    question = state["question"]
    return {"quality": reading.grade(question, state["passages"], library().weights(question))}


def _rerank(state: GroundedAnswer) -> dict[str, Any]:
    question = state["question"]
    return {"passages": reading.rerank(question, state["passages"], library().weights(question))}


def _generate(state: GroundedAnswer) -> dict[str, Any]:
    question = state["question"]
    return {"answer": reading.answer(question, state["passages"], library().weights(question))}


def _critic(state: GroundedAnswer) -> dict[str, Any]:
    question, passages = state["question"], state["passages"]
    verdict = reading.check(state["answer"], passages, question, library().weights(question))
    grounded = verdict["grounded"] and verdict["on_topic"]
    return {"judgement": {"grounded": grounded, "reason": verdict["reason"]}}


def _generate_with(model: str) -> Any:
    """A `generate` that asks a chat model, and ties what it writes to the passages it cites."""
    try:
        chat = resolved(model)
    except DalsegnoError as error:
        error.add_note(_WITHOUT)
        raise
    except Exception as error:  # what a provider makes of a missing key has no type that all of them share
        raise DefinitionError(f"The model {model!r} cannot be made: {error} {_WITHOUT}") from error

    def generate(state: GroundedAnswer) -> dict[str, Any]:
        passages = state["passages"]
        shown = "\n\n".join(f"[{p['id']}] {p['text']}" for p in passages)
        message = chat.invoke(_PROMPT.format(question=state["question"], passages=shown))
        return {"answer": reading.attribute(str(message.text), passages)}

    return generate
