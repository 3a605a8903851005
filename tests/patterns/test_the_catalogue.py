"""The catalogue, the docs and the functions say the same, for they are one text."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from pathlib import Path
from typing import Any

import pytest

from dalsegno.errors import DefinitionError
from dalsegno.graphs.patterns import catalog as module
from dalsegno.graphs.patterns.catalog import SECTIONS, Formula, Pattern, catalog, find

DOCS = Path(__file__).parents[2] / "docs" / "patterns"
PATTERNS = catalog()


@pytest.mark.parametrize("entry", PATTERNS.values(), ids=lambda entry: entry.name)
def test_a_pattern_says_everything_about_itself(entry: Pattern) -> None:
    assert tuple(entry.sections) == SECTIONS, "the docstring's headings, in this order"
    assert all(entry.sections.values())
    assert entry.purpose.endswith(".")
    named = [p.name for p in entry.parameters]
    assert named[-4:] == ["state", "name", "version", "options"]
    assert all(p.kind is p.KEYWORD_ONLY for p in entry.parameters if p.default is not inspect.Parameter.empty)
    assert entry.name in importlib.import_module("dalsegno.graphs.patterns").__all__


@pytest.mark.parametrize("entry", PATTERNS.values(), ids=lambda entry: entry.name)
def test_a_patterns_example_runs_as_it_says(entry: Pattern) -> None:
    example = entry.example()
    defined = example.run()
    assert defined["flow"].validate().findings == ()
    assert isinstance(defined["given"], dict)
    for code, value in example.shown:
        assert repr(eval(code, defined)) == value


@pytest.mark.parametrize("entry", PATTERNS.values(), ids=lambda entry: entry.name)
def test_a_finding_about_a_patterns_node_leads_to_where_the_pattern_was_called(entry: Pattern) -> None:
    flow = entry.example().run()["flow"]
    here = {where.file for node in flow.nodes.values() if (where := node.where) is not None}
    assert not [file for file in here if Path(file).is_relative_to(Path(module.__file__).parents[2])]
    assert len(here) == 1


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate_pattern_pages", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_pages_are_what_the_functions_say() -> None:
    written = {file.name: file.read_text() for file in DOCS.glob("*.md")}
    assert written == generator().pages(), "write them anew: python docs/patterns/generate.py"


def test_the_page_that_helps_to_choose_names_every_pattern() -> None:
    named = [name for answers in generator().CHOOSING.values() for name in answers.values()]
    assert len(set(named)) == len(named)
    assert set(PATTERNS) <= set(named)


def test_an_unknown_pattern_is_told_with_a_near_one() -> None:
    with pytest.raises(DefinitionError, match="no pattern `sequental`; did you mean `sequential`"):
        find("sequental")


def test_a_formula_is_arithmetic_and_nothing_else() -> None:
    assert Formula("max(1, len(steps)) ** 2 + -1").value({"steps": "ab"}) == 3
    with pytest.raises(DefinitionError, match=r"__import__\('os'\)"):
        Formula("__import__('os').name").value({})
    assert module.__doc__
