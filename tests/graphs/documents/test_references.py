"""References are looked up in data, and are data themselves: nothing is evaluated, and nothing is read twice."""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dalsegno.errors import DocumentInvalid, ReferenceNotFound, ValueUnfit
from dalsegno.graphs.documents.references import OF_CONTEXT, ROOTS, Reference, Scope, parse_value

SCOPE = Scope(
    input={
        "name": "Ann",
        "amount": 5,
        "first name": {"x": [1, 2, 3]},
        "loan-id": 7,
        "nothing": None,
        "ünı": "ü",
    },
    current=[{"k": "v"}, "two"],
    previous={"said": True},
    result={"id": 9},
    results={"check": [{"score": 0.5}], "risk-check": "low"},
    workflow="loan",
    execution_id="run-1",
)


def resolved(value: Any, scope: Scope = SCOPE) -> Any:
    return parse_value(value).resolve(scope)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$input", SCOPE.input),
        ("$input.name", "Ann"),
        ("${input.amount}", 5),
        ("$input.loan-id", 7),
        ("$input.ünı", "ü"),
        ('$input["first name"].x[-1]', 3),
        ("$input['first name']['x'][0]", 1),
        ("$current[0].k", "v"),
        ("$previous.said", True),
        ("$result.id", 9),
        ("$context.results.check[0].score", 0.5),
        ("$context.results.risk-check", "low"),
        ("$context.input.name", "Ann"),
        ("$context.workflow", "loan"),
        ("$context.execution_id", "run-1"),
        ("$context.results", SCOPE.results),
        ("$input.nothing", None),
    ],
)
def test_a_text_that_is_a_reference_is_what_it_leads_to(text: str, value: Any) -> None:
    found = resolved(text)
    assert found == value
    assert type(found) is type(value)


def test_the_whole_context_is_its_four_parts() -> None:
    assert list(resolved("$context")) == list(OF_CONTEXT)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Dear $input.name.", "Dear Ann."),
        ("${input.name}${input.amount}", "Ann5"),
        ("$input.name-$input.amount", "Ann-5"),
        ("$input.loan-id-", "7-"),
        ("Is it $input.name?", "Is it Ann?"),
        ("$input.name: ${previous.said}", "Ann: true"),
        ("${current[0]}!", '{"k": "v"}!'),
        ("${current} ü ${input.ünı}", '[{"k": "v"}, "two"] ü ü'),
        ("nothing: ${input.nothing}", "nothing: null"),
        ("nothing: ${input.nothing?}", "nothing: "),
        ("${input.missing?}", None),
        ("missing: ${input.missing.deep[3]?}.", "missing: ."),
    ],
)
def test_a_reference_in_a_longer_text_is_replaced_by_text(text: str, value: Any) -> None:
    assert resolved(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$$input.name", "$input.name"),
        ("$$", "$"),
        ("$$$input.name", "$Ann"),
        ("5 $ or $5, 10$", "5 $ or $5, 10$"),
        ("^[a-z]+$", "^[a-z]+$"),
        ("$(ls) `ls` $((1+1))", "$(ls) `ls` $((1+1))"),
        ("{input.name} %s %(name)s {0.__class__}", "{input.name} %s %(name)s {0.__class__}"),
        ("{{ name }} #{1} <% x %>", "{{ name }} #{1} <% x %>"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_is_no_reference_stays_as_it_is(text: str, value: str) -> None:
    assert resolved(text) == value


def test_values_of_any_shape_are_resolved_and_keys_are_not() -> None:
    value = {
        "$input.name": "$input.name",
        "$gt": 5,
        "list": ["$input.amount", {"deep": "a $input.name"}, None, 1.5],
    }
    assert resolved(value) == {"$input.name": "Ann", "$gt": 5, "list": [5, {"deep": "a Ann"}, None, 1.5]}


def test_a_value_is_made_anew_each_time() -> None:
    value = parse_value({"a": [1]})
    value.resolve(SCOPE)["a"].append(2)
    assert value.resolve(SCOPE) == {"a": [1]}


@pytest.mark.parametrize(
    "text", ["$input.name", "${input.name}", "a ${input.name} b", "$$", "$input[0]", "${", "{name}", "%s"]
)
def test_a_value_that_looks_like_a_reference_stays_a_value(text: str) -> None:
    scope = Scope(input={"x": text, "list": [text]}, results={"a": text})
    assert resolved("$input.x", scope) == text
    assert resolved("<$input.x>", scope) == f"<{text}>"
    assert resolved("$input.list", scope) == [text]
    assert resolved(["$context.results.a"], scope) == [text]


def test_references_are_known_before_the_run_with_their_places() -> None:
    value = parse_value({"a": ["x ${context.results.check[0]} $input.name"], "b": "$current?"})
    first, second, third = value.references
    assert (first.root, first.path, first.step) == ("context", ("results", "check", 0), "check")
    assert (first.where, first.offset, first.text) == (("a", 0), 2, "${context.results.check[0]}")
    assert (second.root, second.path, second.offset) == ("input", ("name",), 30)
    assert (third.root, third.optional, third.where) == ("current", True, ("b",))


# -- what leads to nothing -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("$input.nam", "`$input` has no `nam`; did you mean `name`?"),
        ("$input.zzz", "It has `name`, `amount`, `first name`, `loan-id`, `nothing` and `ünı`"),
        ("$current[2]", "`$current` has 2 elements, and no [2]"),
        ("$current[-3]", "has 2 elements, and no [-3]"),
        ("$current.k", "`$current` is an array, which has no fields"),
        ("$input[0]", "`$input` is an object, which has no elements"),
        ("$input.name.x", "`$input.name` is a string, which has no fields"),
        ("$input.name[0]", "is a string, which has no elements"),
        ("$input.amount.x", "is a number, which has no fields"),
        ("$input.nothing.x", "is null, which has no fields"),
        ("$context.results.chek", "`chek` has no result: it was skipped, or has not run; did you mean `check`?"),
        ("$context.results.zzz.x", "the step `zzz` has no result"),
    ],
)  # fmt: skip
def test_a_reference_that_leads_to_nothing_says_what_there_is(text: str, says: str) -> None:
    with pytest.raises(ReferenceNotFound) as error:
        resolved(text)
    assert says in str(error.value)
    assert error.value.reference == text
    assert "Ann" not in str(error.value), "what there is is named, and not shown"
    assert pickle.loads(pickle.dumps(error.value)).known == error.value.known
    assert resolved(f"${{{text[1:]}?}}") is None


def test_a_value_without_a_text_cannot_stand_in_one() -> None:
    endless: list[Any] = []
    endless.append(endless)
    wide: Any = "x" * 1000
    for _ in range(40):
        wide = [wide, wide]
    for value in (object(), {1, 2}, b"bytes", {1: 2}, [object()], 10**5000, endless, wide, "x" * 2_000_000):
        with pytest.raises(ValueUnfit) as error:
            resolved("<$input.x>", Scope(input={"x": value}))
        assert error.value.text == "$input.x"
        assert resolved("$input.x", Scope(input={"x": value})) is value


# -- what cannot be read -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "offset", "says"),
    [
        ("$inputs.name", 0, "`$inputs` is no reference; did you mean `$input`?"),
        ("Pay with $HOME", 9, "they begin with `$input`, `$current`, `$previous`, `$result` and `$context`"),
        ("$results.check", 0, "did you mean `$context.results`?"),
        ("$execution_id", 0, "did you mean `$context.execution_id`?"),
        ("$context.result.x", 0, "`$context` has no `result`; did you mean `results`?"),
        ("$context.check", 0, "The result of a step is `$context.results.check`"),
        ("$context.results[0]", 0, "a name comes next, not [0]"),
        ("x ${input.name", 2, "The brace of `${` is not closed"),
        ("${$input.name}", 0, "without its dollar sign"),
        ("${}", 0, "without its dollar sign"),
        ("${ }", 0, "without its dollar sign"),
        ("$input[abc]", 6, "brackets hold the number of an element or a key in quotes"),
        ("$input[1.5]", 6, "brackets hold"),
        ("$input['a]", 6, "brackets hold"),
        ("$input.items.0", 12, "is written `[0]`, not `.0`"),
        ("${input.a b}", 9, "is no reference"),
        ("${input..a}", 7, "is no reference"),
        ("${input.a + 1}", 9, "is no reference"),
        ("${input.a|upper}", 9, "is no reference"),
        ("${input.a()}", 9, "is no reference"),
    ],
)
def test_a_reference_that_cannot_be_read_is_told_with_its_character(
    text: str, offset: int, says: str
) -> None:
    with pytest.raises(DocumentInvalid) as error:
        parse_value({"params": [text]})
    (problem,) = error.value.problems
    assert says in problem.message
    assert problem.path == ("params", 0)
    assert problem.offset == offset


def test_all_problems_of_a_value_are_told_at_once() -> None:
    with pytest.raises(DocumentInvalid) as error:
        parse_value(["$a", "fine", {"x": "$b"}])
    assert [problem.path for problem in error.value.problems] == [(0,), (2, "x")]


def test_a_value_that_is_nested_too_deep_is_refused() -> None:
    value: Any = "$input"
    for _ in range(5000):
        value = [value]
    with pytest.raises(DocumentInvalid, match="nested more than 40 deep"):
        parse_value(value)


def test_a_text_has_so_many_references_at_most() -> None:
    assert resolved("${input.amount}" * 1000) == "5" * 1000
    with pytest.raises(DocumentInvalid, match="at most 1,000 dollar signs"):
        parse_value("$$" * 501)


# -- hostile values ------------------------------------------------------------------------------


class Trap:
    """Tells of everything that is done with it."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked of a value")

    def _sprung(self, *args: Any) -> Any:
        raise AssertionError("a value's own code was run")

    __getitem__ = __eq__ = __lt__ = __gt__ = __le__ = __ge__ = __len__ = __iter__ = __bool__ = _sprung  # type: ignore[assignment]
    __contains__ = __str__ = __repr__ = __format__ = __int__ = __float__ = __index__ = _sprung  # type: ignore[assignment]
    __hash__ = object.__hash__


def trapped(base: type) -> Any:
    """A class of a base, whose methods are traps."""
    body = {n: Trap._sprung for n in vars(Trap) if n.startswith("__") and n not in ("__module__", "__doc__", "__dict__",
            "__weakref__", "__hash__", "__getattribute__")}  # fmt: skip
    return type(
        f"Trapped{base.__name__}", (base,), {**body, "__getattr__": Trap._sprung, "__hash__": base.__hash__}
    )


# Made in the test: whoever collects tests looks at what is in a module.
TRAPS = {
    "object": lambda: Trap(),
    "dict": lambda: trapped(dict)({"name": "in", "__class__": "key"}),
    "list": lambda: trapped(list)([1, 2]),
    "tuple": lambda: trapped(tuple)((1, 2)),
    "str": lambda: trapped(str)("text"),
    "int": lambda: trapped(int)(5),
    "float": lambda: trapped(float)(0.5),
}


@pytest.mark.parametrize("base", TRAPS)
@pytest.mark.parametrize(
    "path",
    ["", ".name", ".__class__", "[0]", "[-1]", "['__class__']", ".__class__.__mro__[1].__subclasses__", ".name?",
     ".format", ".__init__.__globals__"],
)  # fmt: skip
@pytest.mark.parametrize("text", ["${input.x%s}", "<${input.x%s}>"])
def test_no_code_of_a_value_is_run(base: str, path: str, text: str) -> None:
    with contextlib.suppress(ReferenceNotFound, ValueUnfit):
        resolved(text % path, Scope(input={"x": TRAPS[base]()}))


def test_a_name_with_underscores_is_a_key_and_nothing_else() -> None:
    assert resolved("$input.__class__", Scope(input={"__class__": "a key"})) == "a key"
    with pytest.raises(ReferenceNotFound):
        resolved("$input.__class__", Scope(input={}))


def test_a_mapping_that_makes_what_it_is_asked_for_is_not_asked() -> None:
    class Making(dict[str, Any]):
        def __missing__(self, key: str) -> Any:
            raise AssertionError("it was asked")

    with pytest.raises(ReferenceNotFound):
        resolved("$input.x", Scope(input=Making()))


def test_the_grammar_is_loaded_when_the_first_reference_is_read() -> None:
    code = (
        "import sys, dalsegno.graphs.documents.references as r, dalsegno.graphs.documents.conditions\n"
        "r.parse_value({'a': ['no reference', 5]})\n"
        "assert not {'lark', 'yaml', 'langgraph'} & set(sys.modules), 'loaded'\n"
        "r.parse_value('$input')\n"
        "assert 'lark' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# -- properties ----------------------------------------------------------------------------------

KEYS = st.text(min_size=1, max_size=8) | st.sampled_from(
    ["name", "a-b", "x", "__class__", "first name", "'", '"', "\\", "ü"]
)
PATHS = st.lists(KEYS | st.integers(-99, 99), max_size=4)


@st.composite
def references(draw: st.DrawFn) -> str:
    root = draw(st.sampled_from(ROOTS))
    path = draw(PATHS)
    if root == "context":
        path = [draw(st.sampled_from(OF_CONTEXT)), draw(KEYS), *path]
    return "${" + Reference(root, tuple(path), draw(st.booleans())).canonical + "}"


TEXTS = st.lists(references() | st.text(max_size=9).map(lambda text: text.replace("$", "$$"))).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | references() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(VALUES)
@example('${input["A-"]} ${input["a--b"].a-b}')
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_read_as_the_same_again(value: Any) -> None:
    parsed = parse_value(value)
    again = parse_value(parsed.source)
    assert again == parsed
    assert again.source == parsed.source
    assert [r.path for r in again.references] == [r.path for r in parsed.references]


@given(st.text(max_size=40) | st.text("$${}[].'\"\\?abinput-0 1_", max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parsed = parse_value(text)
    except DocumentInvalid as error:
        offsets = [problem.offset for problem in error.problems]
    else:
        assert parse_value(parsed.source) == parsed
        return
    assert len(offsets) == 1
    assert offsets[0] is not None
    assert 0 <= offsets[0] <= len(text)


DATA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.just("$input.x")
    | st.just("${"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)


def looked_up(root: Any, path: tuple[str | int, ...]) -> list[Any]:
    """What a path leads to, in a list; empty where it leads to nothing."""
    for part in path:
        keyed = isinstance(part, str) and isinstance(root, dict) and part in root
        if not keyed and not (
            isinstance(part, int) and isinstance(root, list) and -len(root) <= part < len(root)
        ):
            return []
        root = root[part]
    return [root]


@given(DATA, DATA, PATHS, st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_reference_leads_where_its_path_leads(
    given_: Any, result: Any, path: list[Any], optional: bool
) -> None:
    scope = Scope(input=given_, results={"a": result})
    for root, steps in (("input", ()), ("context", ("results", "a"))):
        reference = Reference(root, (*steps, *path), optional)
        parsed = parse_value(f"${{{reference.canonical}}}")
        assert parsed.content == reference
        found = looked_up(given_ if root == "input" else result, tuple(path))
        if found or optional:
            assert parsed.resolve(scope) is (found or [None])[0]
        else:
            with pytest.raises(ReferenceNotFound):
                parsed.resolve(scope)
