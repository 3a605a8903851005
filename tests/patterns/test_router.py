"""Pattern 3: rules in their order, then a choice that is looked at, then the default."""

from __future__ import annotations

from typing import Any

import pytest

from dalsegno.errors import DefinitionError
from dalsegno.graphs.patterns import Node, Worker, router, sequential
from dalsegno.testing import Reply, ScriptedChatModel


def bills(state: Any) -> str:
    """Knows what was paid."""
    return "bills"


def parcels(state: Any) -> str:
    """Knows where things are."""
    return "parcels"


def others(state: Any) -> str:
    return "others"


ROUTES = [bills, parcels, others]


def says(word: str) -> Any:
    return lambda state: word in state["value"]


def test_the_first_rule_that_holds_decides() -> None:
    rules = [(says("paid"), "bills"), (says("parcel"), "parcels")]
    graph = router(ROUTES, rules=rules, default="others").compile()
    for text, route in (("paid parcel", "bills"), ("a parcel", "parcels"), ("hello", "others")):
        output = graph.invoke({"value": text})
        assert (output["value"], output["route"]) == (route, route)


def test_nobody_is_asked_to_choose_where_a_rule_holds() -> None:
    def never(state: Any) -> str:
        raise AssertionError("asked")

    flow = router(ROUTES, rules=[(says("paid"), "bills")], choose=never, default="others")
    assert flow.compile().invoke({"value": "paid"})["route"] == "bills"


@pytest.mark.parametrize(
    ("choices", "route", "wrong"),
    [
        (["parcels"], "parcels", 0),
        (["parcel", "parcels"], "parcels", 1),
        ([None, "", "parcels"], "parcels", 2),
        ([7, ["bills"], {"route": "bills"}], "others", 3),
        ([None, None, None], "others", 3),
    ],
)
def test_a_wrong_choice_is_made_again_and_then_the_default_is_taken(
    choices: list[Any], route: str, wrong: int
) -> None:
    asked = iter(choices)
    flow = router(ROUTES, choose=lambda state: next(asked), retries=2, default="others")
    output = flow.compile().invoke({"value": "hello"})
    assert (output["route"], output["wrong"]) == (route, wrong)
    assert next(asked, "all asked") == "all asked"


def test_without_retries_the_default_is_taken_at_once() -> None:
    flow = router(ROUTES, choose=lambda state: "nobody", retries=0, default="others")
    assert flow.validate().findings == ()
    assert flow.compile().invoke({"value": "hello"})["route"] == "others"


def test_a_model_is_told_the_routes_and_its_choice_is_validated() -> None:
    told: list[str] = []

    def answer(messages: Any) -> dict[str, Any]:
        told.append(str(messages[-1].content))
        return {"answer": "parcels"}

    model = ScriptedChatModel([], then=answer)
    flow = router(ROUTES, choose=model, default="others")
    output = flow.compile().invoke({"value": "Where {is} it?"})
    assert output["route"] == "parcels"
    assert "- bills: Knows what was paid." in told[0]
    assert "Where {is} it?" in told[0]


def test_a_model_that_never_says_a_route_leads_to_the_default() -> None:
    model = ScriptedChatModel([], then=Reply({"answer": "I cannot say."}, check=False))
    output = router(ROUTES, choose=model, default="others").compile().invoke({"value": "?"})
    assert (output["route"], output["wrong"]) == ("others", 2)


def test_a_choice_that_fails_is_no_wrong_choice() -> None:
    def broken(state: Any) -> str:
        raise ConnectionError("no line")

    with pytest.raises(ConnectionError, match="no line"):
        router(ROUTES, choose=broken, default="others").compile().invoke({"value": "?"})


def test_a_workflow_may_choose() -> None:
    inner = Node(sequential({"pick": parcels}), outputs={"choice": "value"})
    assert (
        router(ROUTES, choose=inner, default="others").compile().invoke({"value": "?"})["route"] == "parcels"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"default": "other", "choose": others}, "there is no route 'other'; did you mean `others`"),
        (
            {"default": "others", "rules": [(others, "bill")]},
            "there is no route 'bill'; did you mean `bills`",
        ),
        ({"default": "others", "rules": ["bills"]}, "pairs of a predicate and a route"),
        ({"default": "others"}, "it would always take the default"),
        ({"default": "others", "rules": [(others, "bills")]}, "no rule leads to `parcels`"),
        ({"default": "others", "choose": others, "retries": -1}, "retries=-1"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        router([*ROUTES[:2], Worker(others, about="the rest")], **options)
