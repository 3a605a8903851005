"""A document is read as plain data, each part with its place; what is harmful or doubtful in it is refused."""

from __future__ import annotations

import json
import os
import pickle
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dalsegno.errors import DocumentInvalid, TargetNotLoaded
from dalsegno.graphs.documents.problems import Problem
from dalsegno.graphs.documents.source import LARGEST, Source, parse_source, read_source


def read(text: str, file: str = "loan.yaml") -> Any:
    return parse_source(text, file=file).data


def refused(text: str, file: str = "loan.yaml") -> DocumentInvalid:
    with pytest.raises(DocumentInvalid) as error:
        parse_source(text, file=file)
    return error.value


def at(text: str, line: int, column: int, says: str, file: str = "loan.yaml") -> DocumentInvalid:
    error = refused(text, file)
    assert (error.line, error.column) == (line, column), error
    assert says in error.problems[0].message, error
    assert str(error).startswith(f"{file}:{line}:{column}: ")
    return error


# -- places --------------------------------------------------------------------------------------

DOCUMENT = """\
name: loan
steps:
  - name: check
    agent_calls:
      - {skill: credit, params: {id: "$input.id"}}
    condition: $input.amount > 0
"""


@pytest.fixture
def source() -> Source:
    return parse_source(DOCUMENT, file="loan.yaml")


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ((), (1, 1)),
        (("name",), (1, 7)),
        (("steps", 0), (3, 5)),
        (("steps", 0, "agent_calls", 0, "params", "id"), (5, 38)),
        (("steps", 0, "condition"), (6, 16)),
    ],
)
def test_every_value_has_its_place(source: Source, path: Any, where: tuple[int, int]) -> None:
    place = source.place(path)
    assert (place.line, place.column) == where


def test_a_key_has_a_place_of_its_own(source: Source) -> None:
    assert str(source.place(("steps", 0, "condition"), key=True)) == "loan.yaml:6:5"


def test_what_is_not_there_is_at_what_would_hold_it(source: Source) -> None:
    assert source.place(("steps", 0, "strategy")).line == 3
    assert source.place(("steps", 7)).line == 2
    assert source.place(("output", "x", 0)).line == 1


@pytest.mark.parametrize(("path", "column"), [(("steps", 0, "condition"), 20), (("name",), 11)])
def test_a_character_of_a_text_has_its_column(source: Source, path: Any, column: int) -> None:
    assert source.place(path, offset=4).column == column


def test_a_character_in_quotes_has_its_column_and_one_behind_an_escape_has_not() -> None:
    source = parse_source('a: "bcd"\nb: "b\\td"\n')
    assert source.place(("a",), offset=2).column == 7
    assert source.place(("b",), offset=2).column == 4


def test_json_has_the_same_places_as_yaml() -> None:
    data = {"name": "loan", "steps": [{"name": "a", "params": {"x": [1, 2.5, None, True, "é😀"]}}]}
    text = json.dumps(data, indent=2, ensure_ascii=False)
    as_json, as_yaml = parse_source(text, file="a.json"), parse_source(text, file="a.yaml")
    assert as_json.data == as_yaml.data == data
    for path in [(), ("steps", 0, "params", "x", 3), ("steps", 0, "params")]:
        one, other = as_json.place(path), as_yaml.place(path)
        assert (one.line, one.column) == (other.line, other.column)


def test_problems_are_told_with_their_places_in_their_order(source: Source) -> None:
    error = source.invalid(
        [
            Problem("second.", ("steps", 0, "condition"), offset=1),
            Problem("first.", ("name",), key=True),
        ]
    )
    assert str(error) == "loan.yaml:1:1: name: first.\nloan.yaml:6:17: steps[0].condition: second."
    assert (error.file, error.line, error.column, error.field) == ("loan.yaml", 1, 1, "name")
    copy = pickle.loads(pickle.dumps(error))
    assert copy.problems == error.problems
    assert str(copy) == str(error)


def test_what_comes_by_an_alias_is_placed_where_it_is_written() -> None:
    source = parse_source("a: &x {b: 1}\nc: *x\nd:\n  <<: *x\n  e: 2\n")
    assert source.data == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}
    assert source.place(("c", "b")).line == 1
    assert source.place(("d", "b")).line == 1
    assert source.place(("d", "e")).line == 5


# -- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word", ["on", "off", "yes", "no", "y", "N", "Off", "1_000", "12:30", "2026-11-21", "1.2.3", "<<"]
)
def test_a_word_that_only_old_yaml_takes_for_something_else_is_a_text(word: str) -> None:
    assert read(f"a: {word}") == {"a": word}


@pytest.mark.parametrize(
    ("word", "value"),
    [("5", 5), ("-5", -5), ("+5", 5), ("1.50", 1.5), (".5", 0.5), ("1e3", 1000.0), ("true", True), ("False", False),
     ("null", None), ("~", None), ("", None), ("18446744073709551615", 2**64 - 1)],
)  # fmt: skip
def test_numbers_truth_and_nothing_are_those_of_json(word: str, value: Any) -> None:
    found = read(f"a: {word}")["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "word", ["010", "0o17", "0x1F", "0b11", "-007", "01.5", ".inf", "-.INF", ".nan", "1e999", "9" * 30]
)
def test_a_number_that_is_read_in_two_ways_or_that_json_lacks_is_refused(word: str) -> None:
    error = refused(f"name: a\nb: {word}")
    assert (error.line, error.column, error.field) == (2, 4, "b")
    assert "quotes" in str(error) or "too large" in str(error)
    assert read(f'b: "{word}"') == {"b": word}


@pytest.mark.parametrize("version", ["1.10", "1.0", "2", "010", "2026-11-21", "1.2.3", "true"])
def test_a_version_is_a_text_as_it_is_written(version: str) -> None:
    assert read(f"version: {version}") == {"version": version}
    assert read(f"version: '{version}'") == {"version": version}


def test_only_the_version_at_the_top_is_taken_as_it_is_written() -> None:
    assert read("metadata: {version: 1.10}") == {"metadata": {"version": 1.1}}
    assert read("version: ~\nname: x") == {"version": None, "name": "x"}
    assert read('{"version": 1.10}', "a.json") == {"version": "1.10"}


def test_what_a_number_looks_like_is_known() -> None:
    source = parse_source("a: 1.10\nb: '1.10'\nc: [no]")
    assert [source.written(p) for p in [("a",), ("b",), ("c", 0), ("d",)]] == ["1.10", None, "no", None]


def test_plain_tags_are_taken() -> None:
    assert read("a: !!str 5\nb: !!int '7'\nc: !!map {}\nd: ! 5") == {"a": "5", "b": 7, "c": {}, "d": "5"}


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tag",
    ["!!python/object:os.system", "!!python/object/apply:os.system", "!!python/name:os.system", "!!python/module:os",
     "!!python/object/new:subprocess.Popen", "!!binary", "!!set", "!!omap", "!!timestamp", "!env", "!!yaml", "!<x>"],
)  # fmt: skip
@pytest.mark.parametrize("value", ["'date > harm'", "['date > harm']", "{a: b}"])
def test_a_tag_is_refused_and_makes_nothing(
    tag: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = refused(f"name: a\nsteps: {tag} {value}")
    assert (error.line, error.field) == (2, "steps")
    assert "is a tag" in str(error)
    assert not list(tmp_path.iterdir())


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "repeat more than 20,000 values"),
        ("a: &a 1\nb: [" + "*a, " * 101 + "]", "more than 100 aliases"),
        ("a: &a [*a]", "inside of what it repeats"),
        ("a: &a {b: *a}", "inside of what it repeats"),
        ("a: *b", "no anchor `&b`"),
        ("a: &a {<<: *a}", "inside of what it repeats"),
        ("a: " + "[" * 300_000, "nested deeper than 40"),
        ("a: " + "{a: " * 200_000, "nested deeper than 40"),
        ("- " * 400_000, "nested deeper than 40"),
        ("? " * 400_000, "A key is a text"),
        ("&a " * 300_000, "no YAML"),
        ("!" * 900_000, "is a tag"),
        ("{" + "a: 1, " * 150_000, "is here twice"),
        ("a: " + "9" * 900_000, "more digits"),
        ("'" + "a: ''b" * 100_000, "not closed"),
        ("\n".join(f"k{i}: &k{i} [*k{i - 1}]" for i in range(1, 60)).replace("*k0", "0"), "nested deeper than 40"),
    ],
)  # fmt: skip
def test_a_bomb_costs_nothing(text: str, says: str) -> None:
    begin = time.process_time()
    error = refused(text)
    assert time.process_time() - begin < 2, "0.2 s on a quiet machine"
    assert says in str(error)
    assert len(str(error)) < 5_000


@pytest.mark.parametrize("text", ["[" * 300_000, '{"a":' * 150_000, '{"a": ' + "9" * 900_000 + "}"])
def test_a_bomb_of_json_costs_nothing(text: str) -> None:
    begin = time.process_time()
    refused(text, "a.json")
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("", 1, 1, "The document is empty. It begins with `name:`"),
        ("# nothing\n", 1, 1, "The document is empty"),
        ("{}", 1, 1, "The document is empty"),
        ("~", 1, 1, "The document is empty"),
        ("# a list\n- a\n", 2, 1, "The document is a list"),
        ("hello", 1, 1, "The document is a text"),
        ("5", 1, 1, "The document is a number"),
        ("a: 1\n\tb: 2", 2, 1, "tab"),
        ("a:\n\t- b", 2, 1, "tab"),
        ("a: 1\n---\nb: 2\n", 2, 1, "A second document begins here"),
        ("name: a: b", 1, 8, "A colon cannot stand here"),
        ("a: [1, 2\nb: 3", 1, 4, "The bracket that begins here is not closed"),
        ("a: 'x\nb: 3", 1, 4, "The quote that begins here is not closed"),
        ("a: @home", 1, 4, "begins with @ is written in quotes"),
        ("a: *.py", 1, 4, "begins with * is written in quotes"),
        ("a: {b: 1}\n  c: 2", 2, 3, "does not go on with what stands above"),
        ("a: 1\na: 2", 2, 1, "`a` is here twice: it is in line 1 already"),
        ("1: a", 1, 1, 'A key is a text: write "1" in quotes'),
        ("~: a", 1, 1, 'A key is a text: write "~" in quotes'),
        ("true: a", 1, 1, "A key is a text"),
        ("? [a]\n: b", 1, 3, "A key is a text"),
        ("a: &x 1\n*x : b", 2, 1, "A key is written out"),
        ("a: b\nc: \x07", 2, 4, "U+0007"),
        ("<<: 5", 1, 5, "`<<` takes in a mapping"),
        ("a: b\nc: 'd\u2028e'\nf: g: h", 2, 6, "(U+2028) that some programs read as the end"),
        ("a: b\nc: d\x85e", 2, 5, "`\\u0085`, in double quotes"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_yaml_is_said_where_it_is(text: str, line: int, column: int, says: str) -> None:
    at(text, line, column, says)


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ('{"a": 1,}', 1, 9, "JSON has none after the last"),
        ('{"a": 1 "b": 2}', 1, 9, "needs `,`"),
        ("{a: 1}", 1, 2, "a key in quotes"),
        ('{"a": NaN}', 1, 7, "`NaN`"),
        ('{"a": 01}', 1, 7, "`01`"),
        ('{"a": "b\nc"}', 1, 9, "a text in quotes goes on over the line"),
        ('{"a": "b', 1, 7, "not closed"),
        ('{"a": "\\x"}', 1, 8, "backslash"),
        ('{"a": "\\ud800"}', 1, 7, "half a character"),
        ('{"a": 1} {}', 1, 10, "behind the end"),
        ('{"a": 1', 1, 8, "ends before it is complete"),
        ("", 1, 1, "ends before it is complete"),
        ("[]", 1, 1, "The document is a list"),
        ("// x\n{}", 1, 1, "no comments"),
        ('{"a": 1,\n "a": 2}', 2, 2, "here twice"),
        ("{'a': 1}", 1, 2, "a key in quotes"),
    ],
)
def test_what_is_wrong_in_json_is_said_where_it_is(text: str, line: int, column: int, says: str) -> None:
    error = refused(text, "a.json")
    assert says.casefold() in str(error).casefold()
    assert error.line == line
    assert error.column is not None
    assert abs(error.column - column) <= 3


def test_several_problems_are_told_at_once() -> None:
    error = refused("a: 010\nb: 1\nb: 2\n3: c\n")
    assert [problem.place.line for problem in error.problems] == [1, 3, 4]


# -- files ---------------------------------------------------------------------------------------


def written(folder: Path, content: bytes, name: str = "loan.yaml") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        b"name: \xc3\xa9\r\nsteps: []\r\n",
        b"\xef\xbb\xbfname: \xc3\xa9\nsteps: []\n",
        b"name: \xc3\xa9\nsteps: []",
    ],
    ids=["CRLF", "BOM", "no last newline"],
)
def test_line_ends_and_byte_order_marks_are_nothing(content: bytes, tmp_path: Path) -> None:
    source = read_source(written(tmp_path, content))
    assert source.data == {"name": "é", "steps": []}
    assert source.place(("steps",)).line == 2
    assert source.place(("steps",)).column == 8


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("name: a\nb: café".encode("latin-1"), "loan.yaml:2:7: The byte 0xe9 here is no UTF-8"),
        ("name: a".encode("utf-16"), "It is UTF-16. Save it as UTF-8."),
        (b"name: a\nb: \x00\x01", "there is a zero byte"),
        (b"\x7fELF\x02\x01\x01\x00\x00", "no text"),
        (b"\x89PNG\r\n\x1a\n", "no UTF-8"),
    ],
    ids=["latin-1", "utf-16", "zero", "program", "picture"],
)
def test_what_is_no_text_is_refused(content: bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(DocumentInvalid) as error:
        read_source(written(tmp_path, content))
    assert says in str(error.value)


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "loan.yaml"
    with path.open("wb") as file:
        file.truncate(50_000_000)

    def opened(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("it was opened")

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(DocumentInvalid) as error:
        read_source(path)
    assert "It has 50,000,000 bytes, and a document has at most 1,000,000." in str(error.value)


def test_a_document_may_be_as_large_as_said(tmp_path: Path) -> None:
    text = "name: a\nmetadata: {text: '"
    path = written(tmp_path, (text + "x" * (LARGEST - len(text) - 2) + "'}").encode())
    assert path.stat().st_size == LARGEST
    assert read_source(path).data["name"] == "a"


def test_a_file_that_is_not_there_is_said_with_its_neighbour(tmp_path: Path) -> None:
    written(tmp_path, b"name: a", "loan.yaml")
    with pytest.raises(TargetNotLoaded) as error:
        read_source(tmp_path / "lone.yaml")
    assert error.value.reason == "no file"
    assert "does not exist; did you mean `loan.yaml`?" in str(error.value)


def test_a_folder_and_a_pipe_are_no_documents(tmp_path: Path) -> None:
    with pytest.raises(TargetNotLoaded, match="is a folder"):
        read_source(tmp_path)
    os.mkfifo(tmp_path / "loan.yaml")
    with pytest.raises(TargetNotLoaded, match="is no file"):
        read_source(tmp_path / "loan.yaml")


# -- properties ----------------------------------------------------------------------------------

# What writes YAML 1.1 leaves texts such as 0E0 without quotes, which are numbers in YAML 1.2.
TEXTS = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff\x85"), max_size=12
).filter(lambda text: not (text[:1].isdigit() or text[:1] in ("+", "-", ".")))
DATA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
MAPPINGS = st.dictionaries(TEXTS.filter(lambda key: key != "version"), DATA, min_size=1, max_size=4)


@given(MAPPINGS, st.booleans())
@settings(max_examples=150, deadline=None)
def test_data_written_by_others_is_read_as_it_was(data: dict[str, Any], flow: bool) -> None:
    assert read(json.dumps(data), "a.json") == data
    assert read(json.dumps(data, indent=1, ensure_ascii=False), "a.json") == data
    assert read(yaml.safe_dump(data, default_flow_style=flow, allow_unicode=True)) == data


@given(
    st.text(max_size=60) | st.text("[]{}:,-?&*!|>'\"%@`#ab \n\t\\01.", max_size=40),
    st.sampled_from(["a.yaml", "a.json"]),
)
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused_with_a_place(text: str, file: str) -> None:
    try:
        assert isinstance(parse_source(text, file=file).data, dict)
        return
    except DocumentInvalid as error:
        told = error
    assert told.line is not None
    assert told.line >= 1
    assert told.problems


@given(MAPPINGS)
@settings(max_examples=60, deadline=None)
def test_the_place_of_every_value_is_where_it_stands(data: dict[str, Any]) -> None:
    text = json.dumps(data, ensure_ascii=False, indent=1)
    source = parse_source(text, file="a.json")
    lines = text.split("\n")

    def look(value: Any, path: tuple[str | int, ...]) -> None:
        place = source.place(path)
        rest = lines[place.line - 1][place.column - 1 :]
        assert rest.startswith(
            ("{", "[") if isinstance(value, dict | list) else json.dumps(value, ensure_ascii=False)
        )
        items = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for key, inner in items:
            look(inner, (*path, key))

    look(data, ())
