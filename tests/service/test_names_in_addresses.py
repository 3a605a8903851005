"""A workflow is served under its name, so that has to be one that an address can have."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import pytest

from dalsegno import END, START, Workflow
from dalsegno.errors import DefinitionError
from dalsegno.graphs.loading import LoadedTarget
from dalsegno.service.service import Service


class State(TypedDict, total=False):
    topic: str


def nothing(state: State) -> None: ...


@pytest.mark.parametrize("name", [".", "..", "a/b", "two\nlines", "\u202egpj", "n" * 256])
def test_a_name_that_no_address_can_have_is_not_served(tmp_path: Path, name: str) -> None:
    flow = Workflow(name, State).add_node(nothing).add_edge(START, "nothing").add_edge("nothing", END)
    with pytest.raises(DefinitionError, match="cannot be served"):
        Service([LoadedTarget(flow, "app.py:flow")], tmp_path / "runs.db")
