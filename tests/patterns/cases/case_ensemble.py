"""Three classify; one fails, the other two do not agree, and the arbiter decides."""

from __future__ import annotations

from typing import Any

from pattern_case import Case, Failing

from dalsegno.graphs.patterns import ensemble


def by_end(state: Any) -> str:
    return "plural" if state["request"].endswith("s") else "singular"


async def by_article(state: Any) -> str:
    return "singular" if state["request"].startswith("a ") else "plural"


def mute(state: Any) -> str:
    raise OSError("no voice")


def decide(state: Any) -> str:
    return f"{len(state['verdict']['differences'])} of {len(state['answers'])} say otherwise"


def judge(state: Any) -> dict[str, Any]:
    return {"answer": str(state["answers"]), "agreement": 1.0, "differences": []}


CASE = Case(
    pattern=ensemble,
    args=({"by end": by_end, "by article": by_article, "mute": mute},),
    options={"arbiter": decide, "on_error": "collect"},
    given={"request": "a glass"},
    expect={
        "value": "1 of 2 say otherwise",
        "confidence": 1 / 3,
        "disputed": True,
        "answers": {"by end": "plural", "by article": "singular"},
        "failures": [{"name": "mute", "error": "OSError", "message": "no voice"}],
    },
    gives="value",
    failing=Failing(
        args=([mute],),
        options={"times": 2, "on_error": "collect"},
        given={"request": "a glass"},
        error=("TooFewAnswers", "`ensemble` got no answer at all. `mute 1`: OSError: no voice; `mute 2`"),
    ),
    slot=lambda node, state: ensemble({"inner": node, "by end": by_end}, judge=judge, state=state),
    slot_key="answers",
    slot_given={"request": "a glass"},
)
