"""What no pattern can be called with is refused with a sentence about that, before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dalsegno.errors import DefinitionError
from dalsegno.graphs.patterns import (
    SagaStep,
    Subscriber,
    ab_test,
    conversation,
    ensemble,
    intent_workflows,
    map_reduce,
    parallel,
    peer_to_peer,
    saga,
    sequential,
    supervisor,
)


def plays(state: Any) -> int:
    return 1


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: parallel({"join": plays, "other": plays}), "join"),
        (lambda: supervisor(plays, {"lead": plays, "other": plays}), "lead"),
        (lambda: supervisor(plays, {"nobody": plays, "other": plays}), "nobody"),
        (lambda: peer_to_peer({"act": plays, "other": plays}), "act"),
        (lambda: ensemble({"judge": plays, "other": plays}), "judge"),
        (lambda: intent_workflows(plays, {"builder": plays, "other": plays}, plays), "builder"),
        (
            lambda: saga([SagaStep(plays, name="a", compensate=plays), SagaStep(plays, name="undo a")]),
            "undo a",
        ),
    ],
)
def test_a_name_that_a_pattern_has_itself_is_told_as_that(make: Callable[[], Any], name: str) -> None:
    with pytest.raises(DefinitionError, match=f"two of its nodes would be called `{name}`") as raised:
        make()
    assert "roles.py" not in str(raised.value), "no place in our own code"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"plays": {"timeot": 3}}, "no such keyword; did you mean `timeout`"),
        ({"plays": 3}, "keywords of `add_node` by node are needed"),
        (["plays"], "keywords of `add_node` by node are needed"),
        ({"palys": {"timeout": 3}}, "there is no node `palys` here; did you mean `plays`"),
    ],
)
def test_options_that_no_node_takes_are_refused(options: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        sequential([plays], options=options)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Subscriber(plays, on=3), r"Subscriber\(on=3\)"),
        (
            lambda: ab_test({"a": plays, "b": plays}, plays, criteria={"good": "very"}),
            "a mapping of names to weights",
        ),
        (lambda: ab_test({"a": plays, "b": plays}, plays, criteria=[1, 2]), "a mapping of names to weights"),
        (lambda: conversation(plays, plays, phases=iter("ab")), "names of phases"),
        (lambda: conversation(plays, plays, session_timeout="3"), "seconds, more than 0"),
    ],
)
def test_an_option_of_another_kind_is_refused(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        make()


def test_one_key_that_is_sent_with_each_item_may_stand_alone() -> None:
    flow = map_reduce(lambda state: state["item"] * state["value"], also="value")
    assert flow.compile().invoke({"items": [1, 2], "value": 3})["results"] == [3, 6]


@pytest.mark.parametrize(
    "make",
    [
        lambda: saga([SagaStep(plays, compensate="plays"), SagaStep(plays, name="other")]),
        lambda: map_reduce("plays"),
        lambda: parallel({"a": plays, "b": "plays"}),
    ],
)
def test_the_name_of_a_function_is_not_only_told_as_a_model(make: Callable[[], Any]) -> None:
    with pytest.raises(
        DefinitionError, match=r"'plays' is taken for a model's name: .* give the function itself\."
    ):
        make()
