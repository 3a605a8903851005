"""Secrets in the state are never shown."""

from __future__ import annotations

import json
import operator
import os
import pickle
import reprlib
import string
import subprocess
import sys
import typing
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, Optional, Required, TypedDict, TypeVar
from urllib.parse import quote, quote_plus

import pytest
import typing_extensions
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretBytes, SecretStr, TypeAdapter, ValidationError
from typing_extensions import ReadOnly, TypeAliasType

from dalsegno import END, START, RetryPolicy, Runner, Secret, Workflow, human
from dalsegno.errors import DefinitionError, InputInvalid
from dalsegno.nodes.aliases import meant
from dalsegno.nodes.secrets import MASK, Secrets, holds_secret, input_shown, is_secret, masked
from dalsegno.runtime.events import Event, NodeFailed, PolicyActed

ROOT = str(Path(__file__).parents[2])
PLANTED = "hunter-22-planted"


class Login(BaseModel):
    user: str
    password: Annotated[str, Secret]


class State(TypedDict, total=False):
    topic: str
    key: Annotated[str, Secret]
    token: SecretStr
    login: Login


@pytest.mark.parametrize(
    "annotation",
    [
        SecretStr,
        SecretBytes,
        SecretStr | None,
        Optional[SecretStr],  # noqa: UP045 - the old way to write it
        Annotated[str, Secret],
        Annotated[dict[str, str], Secret],
        Annotated[list[str], Secret, operator.add],
        Required[Annotated[str, Secret]],
    ],
)
def test_a_secret_is_marked_or_is_pydantics_own(annotation: Any) -> None:
    assert is_secret(annotation)
    assert holds_secret(annotation)


@pytest.mark.parametrize("annotation", [str, Annotated[str, "secret"], list[str], None, "Secret", dict])
def test_everything_else_is_none(annotation: Any) -> None:
    assert not is_secret(annotation)
    assert not holds_secret(annotation)


def test_the_mark_is_the_same_in_every_process() -> None:
    assert pickle.loads(pickle.dumps(Secret)) is Secret


def test_a_mark_that_would_hide_the_reducer_is_refused() -> None:
    class Wrong(TypedDict):
        log: Annotated[list[str], operator.add, Secret]

    flow = Workflow("wrong", Wrong).add_node("a", lambda state: {}).add_edge(START, "a").add_edge("a", END)
    with pytest.raises(DefinitionError, match=r"Write `Secret` before the reducer\."):
        flow.validate()


def test_secrets_are_masked_however_deep() -> None:
    @dataclass
    class Box:
        login: Login

    class Holder(TypedDict):
        boxes: list[Box]
        by_name: dict[str, Login]

    login = Login(user="me", password=PLANTED)
    value = {"boxes": [Box(login)], "by_name": {"a": login}}
    shown = masked(value, Holder)
    assert shown == {
        "boxes": [{"login": {"user": "me", "password": MASK}}],
        "by_name": {"a": {"user": "me", "password": MASK}},
    }


def test_a_type_that_holds_itself_is_no_trap() -> None:
    assert holds_secret(Tree)
    tree = Tree(left=Tree(key="abcd"), key="efgh")
    assert masked(tree) == {"left": {"left": None, "key": MASK}, "key": MASK}


class Tree(BaseModel):
    left: Tree | None = None
    key: Annotated[str, Secret] = ""


class Pass(TypedDict, total=False):
    word: Annotated[str, Secret]
    owner: str


class Named(NamedTuple):
    owner: str
    word: Annotated[str, Secret]


T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    item: T


@dataclass
class Crate(Generic[T]):
    item: T


class Called(BaseModel):
    word: Annotated[str, Secret] = Field(alias="apiKey")


Key = TypeAliasType("Key", Annotated[str, Secret])
MARKED = Annotated[str, Secret]


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (tuple[str, MARKED], ("me", PLANTED)),
        (Pass | list[Pass], {"word": PLANTED, "owner": "me"}),
        (Login | Pass, {"word": PLANTED, "owner": "me"}),
        (list[Login | Pass], [{"word": PLANTED}]),
        (str | list[MARKED], [PLANTED]),
        (dict[str, MARKED] | list[str], {"a": PLANTED}),
        (dict[MARKED, int], {PLANTED: 1}),
        (list[MARKED], deque([PLANTED])),
        (Named, Named("me", PLANTED)),
        (Named, ["me", PLANTED]),
        (Key, PLANTED),
        (Box[MARKED], Box[MARKED](item=PLANTED)),
        (Box[MARKED], {"item": PLANTED}),
        (Crate[MARKED], Crate(item=PLANTED)),
        (Crate[Pass], Crate(item={"word": PLANTED})),
        (Called, {"apiKey": PLANTED}),
        (Annotated[Crate[str], Secret], Crate(item=PLANTED)),
        (Annotated[dict[str, SecretStr], Secret], {"a": SecretStr(PLANTED)}),
    ],
)
def test_a_mark_counts_in_every_place_of_a_type(annotation: Any, value: Any) -> None:
    schema = TypedDict("schema", {"field": annotation})  # type: ignore[misc] # noqa: UP013 - no name is a type
    secrets = Secrets([schema])
    secrets.learn({"field": value})
    assert holds_secret(annotation)
    assert PLANTED not in repr(secrets.state({"field": value}))
    assert secrets.text(f"no {PLANTED}") == f"no {MASK}"


def test_what_is_no_text_of_a_secret_is_not_looked_for() -> None:
    secrets = Secrets([TypedDict("schema", {"field": Annotated[dict[str, Any], Secret]})])  # type: ignore[operator] # as above
    secrets.learn({"field": {"a": None, "b": True}})
    assert secrets.text("None is True") == "None is True"


@given(st.text(string.ascii_uppercase + string.digits, min_size=8, max_size=90), st.integers(0, 90))
def test_nothing_is_left_of_a_secret_that_was_cut(secret: str, left: int) -> None:
    secrets = Secrets([State])
    secrets.learn({"key": secret})
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(int).validate_python({"user": "x" * left, "key": secret})
    shown = secrets.text(
        f"{caught.value} {reprlib.repr(secret)} {secret[:left]}… {secret[:6]}...{secret[-6:]}"
    )
    with pytest.raises(ValidationError) as without:
        TypeAdapter(int).validate_python({"user": "x" * left, "key": ""})
    pieces = {secret[at : at + 4] for at in range(len(secret) - 3)}
    assert not [piece for piece in pieces if piece in shown and piece not in f"{without.value}"]


def test_a_cut_beside_no_secret_stays() -> None:
    secrets = Secrets([State])
    secrets.learn({"key": PLANTED})
    assert secrets.text("loading hunt... done … and so on...") == f"loading {MASK}... done … and so on..."
    assert secrets.text("hunter is planted, -planted") == "hunter is planted, -planted"


def test_what_holds_no_secret_is_shown_as_it_is() -> None:
    value = {"a": [1, {"b": 2}]}
    assert masked(value, None) is value


def test_remembered_values_are_masked_in_texts() -> None:
    secrets = Secrets([State])
    secrets.learn(
        {"key": PLANTED, "token": SecretStr("another-one"), "login": Login(user="u", password="third")}
    )
    assert secrets.text(f"{PLANTED}/another-one/third/u") == f"{MASK}/{MASK}/{MASK}/u"
    assert secrets.shown({"why": [f"no {PLANTED}"]}) == {"why": [f"no {MASK}"]}


@pytest.mark.parametrize(
    "spelt", [repr, json.dumps, partial(json.dumps, ensure_ascii=False), quote, quote_plus]
)
def test_remembered_values_are_masked_as_others_write_them(spelt: Callable[[str], str]) -> None:
    secrets = Secrets([State])
    for planted in ("pä\"ss\\w'ord", "-----BEGIN-----\nab cd\n-----END-----", "a b&c=d/e+f"):
        secrets.learn({"key": planted})
        written = spelt(planted).strip("'\"")
        assert written not in secrets.text(f"no {written} here")
    assert secrets.text("no -----BEGIN----- ab cd -----END----- here") == f"no {MASK} here"


def test_a_value_too_short_to_be_told_from_other_text_is_left() -> None:
    secrets = Secrets([State])
    secrets.learn({"key": "a"})
    secrets.learn({"key": "   a   "})
    assert secrets.text("a cat") == "a cat"


def leaking(state: Mapping[str, Any]) -> dict[str, Any]:
    raise ValueError(
        f"401 for {state['key']!r} and {state['token'].get_secret_value()} and {state['login'].password}"
    )


def checking(state: Mapping[str, Any]) -> dict[str, Any]:
    return {"topic": TypeAdapter(int).validate_python(state["key"])}


def test_an_error_that_repeats_the_ends_of_a_long_secret_is_told_without_them(tmp_path: Path) -> None:
    secret = "".join(f"{chr(97 + at)}{at:02}" for at in range(26))  # pydantic shows 24 characters of each end
    cut = Workflow("cut", State).add_node("call", checking).add_edge(START, "call").add_edge("call", END)
    with Runner(cut, db=tmp_path / "runs.db") as runner:
        result = runner.run({"key": secret}, thread="t")
        assert result.error is not None
        for said in (result.error["message"], result.error["traceback"]):
            assert secret[:4] not in said
            assert secret[-4:] not in said
            assert f"input_value='{MASK}...{MASK}'" in said


def test_an_input_that_is_an_object_is_shown_without_its_secrets() -> None:
    shape = {"state": {"user": ["str", None], "password": ["str", None, "secret"]}}
    login = Login(user="me", password=PLANTED)
    assert (
        input_shown(login, shape)
        == input_shown(login.model_dump(), shape)
        == {"user": "me", "password": MASK}
    )


class Inner(TypedDict, total=False):
    made: Annotated[str, Secret]
    yes: bool


@pytest.mark.parametrize("answer", ["perhaps", {"a" * 32: True}])
@pytest.mark.parametrize("inside", [False, True])
def test_an_answer_that_is_refused_repeats_no_secret_of_its_question(
    tmp_path: Path, answer: Any, inside: bool
) -> None:
    asking = Workflow("asking", Inner)
    asking.add_node("make", lambda state: {"made": PLANTED})
    asking.add_node("ask", human("Use {made}?", answer=bool, writes="yes"))
    asking.add_edge(START, "make").add_edge("make", "ask").add_edge("ask", END)
    outer = Workflow("outer", State).add_node("sub", asking, inputs={}, outputs={})
    outer.add_edge(START, "sub").add_edge("sub", END)
    with Runner(outer if inside else asking, db=tmp_path / "runs.db") as runner:
        waits = runner.run({}, thread="t")
        assert waits.interrupts[0]["value"] == {"question": f"Use {MASK}?"}
        with pytest.raises(InputInvalid) as caught:
            runner.resume("t", answer)
        assert f"'Use {MASK}?'" in str(caught.value)


def flow() -> Workflow:
    return (
        Workflow("leaking", State)
        .add_node("call", leaking, retry=RetryPolicy(max_attempts=2, initial_interval=0.001))
        .add_edge(START, "call")
        .add_edge("call", END)
    )


GIVEN: dict[str, Any] = {
    "topic": "rain",
    "key": PLANTED,
    "token": SecretStr("planted-token"),
    "login": Login(user="me", password="planted-password"),
}


def test_an_error_that_repeats_a_secret_is_told_without_it(tmp_path: Path) -> None:
    heard: list[Event] = []
    with Runner(flow(), db=tmp_path / "runs.db", on_event=heard.append) as runner:
        result = runner.run(GIVEN, thread="t")
        journal = [record.error for record in runner.ledger.executions(result.run_id)]
        kept = runner.ledger.get(result.run_id).error
    assert result.error is not None
    assert result.error["message"] == f"401 for '{MASK}' and {MASK} and {MASK}"
    told = [str(e.message) for e in heard if isinstance(e, NodeFailed)]
    told += [json.dumps(dict(e.detail), default=str) for e in heard if isinstance(e, PolicyActed)]
    everything = repr((dict(result.error), journal, kept, told, str(result.in_words())))
    for planted in (PLANTED, "planted-token", "planted-password"):
        assert planted not in everything


APP = """
from typing import Annotated, TypedDict
from dalsegno import END, START, Secret, Workflow

class State(TypedDict, total=False):
    topic: str
    key: Annotated[str, Secret]

def check(state):
    if state["topic"] == "storm":
        raise ValueError("no key like " + state["key"])
    return {"topic": "checked"}

flow = Workflow("app", State).add_node(check).add_edge(START, "check").add_edge("check", END)
"""


@pytest.mark.parametrize(("topic", "code"), [("rain", 0), ("storm", 1)])
def test_the_command_line_prints_no_secret(tmp_path: Path, topic: str, code: int) -> None:
    (tmp_path / "app.py").write_text(APP)
    given = json.dumps({"topic": topic, "key": PLANTED})

    def dalsegno(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dalsegno", *arguments]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": ROOT},
            capture_output=True,
            text=True,
            timeout=60,
        )

    ran = [
        dalsegno("run", "app.py:flow", "--input", given, "--thread", "a"),
        dalsegno("run", "app.py:flow", "--input", given, "--thread", "b", "--json"),
    ]
    assert [done.returncode for done in ran] == [code, code]
    looked = [dalsegno(*arguments) for arguments in (["show", "a"], ["show", "a", "--json"], ["runs"])]
    for done in ran + looked:
        assert PLANTED not in done.stdout + done.stderr
    assert MASK in looked[0].stdout


ALIASES = sorted(
    {getattr(typing, "TypeAliasType", typing_extensions.TypeAliasType), typing_extensions.TypeAliasType},
    key=lambda each: each.__module__,
)


@pytest.mark.parametrize("alias", ALIASES, ids=lambda each: each.__module__)
def test_a_secret_behind_an_alias_is_one(alias: Any) -> None:
    key = alias("Key", Annotated[str, Secret])
    marked = alias("Marked", Annotated[T, Secret], type_params=(T,))
    either = alias("Either", SecretStr | None)
    keys = alias("Keys", dict[str, list[key]])

    types = {"key": key, "marked": marked[list[str]], "either": ReadOnly[either], "keys": keys}
    held = TypedDict("held", {**types, "topic": alias("Topic", str)})  # type: ignore[misc]

    assert all(is_secret(each) for each in (key, marked[list[str]], either, Required[key], ReadOnly[key]))
    assert holds_secret(keys)
    given = {"key": PLANTED, "marked": [PLANTED], "either": PLANTED, "keys": {"a": [PLANTED]}, "topic": "tea"}
    shown = {"key": MASK, "marked": MASK, "either": MASK, "keys": {"a": [MASK]}, "topic": "tea"}
    assert masked(given, held) == shown
    secrets = Secrets([held])
    secrets.learn({"keys": given["keys"]})
    assert secrets.text(f"refused: {PLANTED}") == f"refused: {MASK}"


@pytest.mark.parametrize("alias", ALIASES, ids=lambda each: each.__module__)
def test_an_alias_of_two_types_fills_in_the_right_ones(alias: Any) -> None:
    other = TypeVar("other")
    turned = alias("Turned", dict[other, T], type_params=(T, other))  # type: ignore[valid-type]
    assert meant(turned[int, str]) == dict[str, int]
    assert meant(alias("Same", T, type_params=(T,))[int]) is int


def test_an_alias_that_holds_itself_is_no_trap() -> None:
    scope: dict[str, Any] = {}
    if sys.version_info >= (3, 12):
        exec("type Tree = dict[str, Tree] | list[Tree] | None\ntype Lost = Missing", scope)
    else:
        tree = TypeVar("tree")
        scope["Tree"] = typing_extensions.TypeAliasType("Tree", dict[str, tree], type_params=(tree,))
        scope["Lost"] = typing_extensions.TypeAliasType("Lost", "Missing")  # type: ignore[valid-type] # noqa: F821
    assert not holds_secret(scope["Tree"])
    assert not holds_secret(scope["Lost"])
    assert masked({"a": {"b": None}}, scope["Tree"]) == {"a": {"b": None}}
