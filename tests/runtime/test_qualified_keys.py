"""What is said of a key beside its type changes nothing of what its input is held to."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, Generic, NotRequired, Required, TypedDict, TypeVar

import pytest
from pydantic import BaseModel
from typing_extensions import ReadOnly

from dalsegno import END, START, Runner, Secret, Workflow
from dalsegno.errors import InputInvalid


@pytest.mark.parametrize(
    "hint",
    [
        int,
        ReadOnly[int],
        Required[ReadOnly[int]],
        ReadOnly[NotRequired[int]],
        NotRequired[ReadOnly[Annotated[int, Secret]]],
    ],
)
def test_an_input_of_the_wrong_type_is_refused(hint: Any) -> None:
    state: Any = TypedDict("state", {"n": hint})  # type: ignore[misc]
    flow = Workflow("flow", state).add_node("a", lambda state: {}).add_edge(START, "a").add_edge("a", END)
    assert flow.spec.state["n"].type == "int"
    with Runner(flow) as runner, warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputInvalid, match=r"The input's `n` does not fit: .* valid integer"):
            runner.run({"n": "many"})
        assert runner.run({"n": 2}).output == {"n": 2}


Content = TypeVar("Content")


class Box(BaseModel, Generic[Content]):
    content: Content


class Number(Box[int]): ...


@pytest.mark.parametrize("state", [Box[int], Number])
def test_an_input_is_held_to_the_parameters_of_a_generic_state(state: Any) -> None:
    flow = Workflow("flow", state).add_node("a", lambda state: {}).add_edge(START, "a").add_edge("a", END)
    with Runner(flow) as runner:
        with pytest.raises(InputInvalid, match=r"The input's `content` does not fit: .* valid integer"):
            runner.run({"content": "many"})
        assert runner.run({"content": 2}).output == {"content": 2}
