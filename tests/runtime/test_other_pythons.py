"""A run goes on under another version of Python than it began with, and in another process: what did not change is told
by nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, TypedDict, Union

import pytest
from langgraph.graph import StateGraph

from dalsegno import END, START, Runner, Workflow
from dalsegno.checkpoints.interventions import change
from dalsegno.errors import DefinitionError, IncompatibleGraph
from dalsegno.graphs.checking import spec_of
from dalsegno.graphs.code import PYTHON
from dalsegno.graphs.declarations import type_name

NODES = """
def fails(state):
    if state["fails"]:
        raise ValueError("told to fail")
    return {"kept": 1}

def passes(state):
    return {"kept": 2}

def ends(state):
    return {"kept": state["kept"] + 1}
"""


class State(TypedDict, total=False):
    fails: bool
    kept: Optional[int]  # noqa: UP045 - Python 3.14 writes it in another way than those before it
    several: Annotated[Union[int, list[Optional[Literal["Union[a, b]", "c"]]], None], "said"]  # noqa: UP007, UP045


class Fallen(TypedDict, total=False):
    fails: bool
    kept: Optional[str]  # noqa: UP045
    several: int | list[Literal["Union[a, b]", "c"] | None] | None


@pytest.fixture
def chain(tmp_path: Path) -> Callable[..., Workflow]:
    """A workflow of the nodes that end one another, by names of today; `edit` is a change of their source."""

    def chain(*names: str, edit: tuple[str, str] = ("", ""), state: Any = State) -> Workflow:
        path = tmp_path / "nodes.py"
        path.write_text(NODES.replace(*edit))
        nodes: dict[str, Any] = {}
        exec(compile(path.read_text(), path, "exec", dont_inherit=True), nodes)
        flow = Workflow("chain", state)
        today = names or ("passes", "fails", "ends")
        flow.add_sequence(list(zip(today, (nodes[n] for n in ("passes", "fails", "ends")), strict=True)))
        return flow.add_edge(START, today[0]).add_edge(today[-1], END)

    return chain


@pytest.fixture
def begun(chain: Callable[..., Workflow], tmp_path: Path) -> Callable[..., Path]:
    """The database of a run that failed under another Python, which kept the code in another way."""

    def begun(
        code: Callable[[str, str, str], str] | None = None,
        shape: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
    ) -> Path:
        db = tmp_path / "runs.db"
        with Runner(chain(), db=db) as runner:
            result = runner.run({"fails": True}, thread="t")
            assert result.status == "failed", result
            run = runner.ledger.get(result.run_id)
            change(
                runner.ledger,
                run.run_id,
                version=run.version,
                fingerprint="0123456789abcdef",
                shape=shape(run.shape or {}),
                code={
                    place: code(*kept.split(":")) if code is not None and kept is not None else kept
                    for place, kept in (run.code or {}).items()
                },
            )
        return db

    return begun


def changes(flow: Workflow, db: Path) -> list[str]:
    with Runner(flow, db=db) as runner:
        return [c.words for c in runner.difference("t").changes]


def elsewhere(python: str, bytecode: str, source: str) -> str:
    return f"cpython-3.99.1:{bytecode[::-1]}:{source}"


def test_code_that_another_python_compiled_is_the_same_where_its_source_is(chain: Any, begun: Any) -> None:
    db = begun(elsewhere)
    assert changes(chain(), db) == []
    assert changes(chain(edit=('["kept"] + 1', '["kept"] - 10')), db) == ["the code of `ends` changed"]
    with Runner(chain(edit=('"told to fail"', '"told to"')), db=db) as runner:
        assert [c.words for c in runner.difference("t").changes] == ["the code of `fails` changed"]


def test_a_node_that_was_renamed_is_known_by_its_source(chain: Any, begun: Any) -> None:
    db = begun(elsewhere)
    with Runner(chain("xx", "yy", "zz"), db=db) as runner, pytest.raises(IncompatibleGraph) as raised:
        runner.resume("t")
    assert raised.value.difference.rename == {"fails": "yy"}


def test_where_the_source_is_not_known_it_is_told_that_python_is_another_one(chain: Any, begun: Any) -> None:
    db = begun(lambda python, bytecode, source: f"cpython-3.99.1:{bytecode[::-1]}:")
    assert changes(chain(), db) == [
        f"the run was made by cpython 3.99.1, and this is {PYTHON.replace('-', ' ')}: whether the code of `ends`, "
        "`fails`, `passes` changed cannot be told without its source"
    ]


def test_what_earlier_versions_kept_of_the_code_is_compared_still(chain: Any, begun: Any) -> None:
    db = begun(lambda python, bytecode, source: bytecode)
    assert changes(chain(), db) == []
    assert changes(chain(edit=('["kept"] + 1', '["kept"] - 10')), db) == ["the code of `ends` changed"]


def test_a_type_has_the_same_name_under_every_python(chain: Any) -> None:
    assert {key.name: key.type for key in chain().spec.state.values()} == {
        "fails": "bool",
        "kept": "int | None",
        "several": "int | list[Literal['Union[a, b]', 'c'] | None] | None",
    }


def test_unions_that_were_kept_as_older_pythons_write_them_are_the_same(chain: Any, begun: Any) -> None:
    def older(shape: Mapping[str, Any]) -> Mapping[str, Any]:
        state = dict(shape["state"])
        assert json.dumps(state) == json.dumps(chain().spec.shape()["state"])
        state["kept"] = ["Optional[int]", None]
        state["several"] = ["Union[int, list[Optional[Literal['Union[a, b]', 'c']]], NoneType]", None]
        return {**shape, "state": state}

    db = begun(shape=older)
    assert changes(chain(), db) == []
    (told,) = [words for words in changes(chain(state=Fallen), db) if "holds a value" in words]
    assert (
        told
        == "the type of the state key `kept` was `Optional[int]` and is `str | None`, and it holds a value"
    )


@pytest.mark.parametrize("marked", [lambda of: list[of], lambda of: dict[str, Union[of, None]]])  # noqa: UP007
def test_what_stands_beside_a_type_is_no_part_of_its_name(marked: Any) -> None:
    """A function there has another address in every process, as in LangChain's `AnyMessage`."""
    hints = [marked(of) for of in (int, Annotated[int, object()], Annotated[int, (object(), "]"), "a, b]"])]
    assert len({type_name(hint) for hint in hints}) == 1


def test_a_type_has_the_same_name_where_its_file_is_a_script() -> None:
    class Item:
        """Of a script, and of the same file where it is imported."""

    names = []
    for module in ("__main__", "shop.app"):
        Item.__module__ = module
        names += [type_name(hint) for hint in (list[Item], dict[str, Union[Item, None]], Item)]  # noqa: UP007
    assert names == ["list[Item]", "dict[str, Item | None]", "Item"] * 2


def test_an_answer_of_a_router_has_the_same_text_in_every_process() -> None:
    class Again:
        """A class of a script has another module where its file is imported."""

    def edges(*answers: Any) -> list[Any]:
        flow = Workflow("answers", State).add_node("a", lambda state: {}).add_edge(START, "a")
        flow.add_conditional_edges("a", lambda state: answers[0], dict(zip(answers, ("a", END), strict=True)))
        return [edge.label for edge in flow.spec.edges if edge.label]

    assert edges(Again, "on") == ["Again", "on"]
    assert edges(changes, "on at 0x1") == ["changes", "on at 0x1"]
    with pytest.raises(
        DefinitionError, match=r"answers with `<object object at 0x.*is another text in every process"
    ):
        edges(object(), "on")
    plain = StateGraph(State).add_node("a", lambda state: {}).add_edge(START, "a")
    plain.add_conditional_edges("a", lambda state: "on", {object(): "a", Again: "a", "on": END})  # type: ignore[dict-item]
    assert [edge.label for edge in spec_of(plain).edges if edge.label] == ["<object object>", "Again", "on"]


MESSAGES = """
from langgraph.graph import MessagesState
from langgraph.types import interrupt

from dalsegno import END, START, Workflow

def ask(state: MessagesState):
    return {"messages": [("human", interrupt("Well?"))]}

flow = Workflow("talk", MessagesState).add_node("ask", ask, interrupts=1, calls=0)
flow.add_edge(START, "ask").add_edge("ask", END)
"""


def test_a_run_with_messages_goes_on_in_another_process(tmp_path: Path) -> None:
    (tmp_path / "talk.py").write_text(MESSAGES)

    def dalsegno(*words: str) -> tuple[int, Any]:
        ended = subprocess.run(
            [sys.executable, "-m", "dalsegno", *words, "--json"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            timeout=120,
        )
        return ended.returncode, json.loads(ended.stdout or ended.stderr)

    given = json.dumps({"messages": [{"role": "user", "content": "Hello."}]})
    assert dalsegno("run", "talk.py:flow", "--input", given, "--thread", "t")[0] == 3
    code, told = dalsegno("diff", "talk.py:flow", "t")
    assert (code, told["changes"]) == (0, [])
    code, result = dalsegno("resume", "t", "--value", "Fine.")
    assert code == 0, result
    assert [message["content"] for message in result["output"]["messages"]] == ["Hello.", "Fine."]
