"""Conditions of a document: `$input.amount > 0 and not $context.results.check.declined`.

A condition always comes to an end, for there are no loops, calls or definitions in it. A reference that leads to
nothing is null. What is of no kind that an operation is about is an error, and never quietly false.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NoReturn

from dalsegno.graphs.documents import grammar
from dalsegno.graphs.documents.deciding import Decision
from dalsegno.graphs.documents.expecting import check_kinds
from dalsegno.graphs.documents.expressions import (
    Comparison,
    Constant,
    Joined,
    Length,
    Listed,
    Negation,
    Node,
    written,
)
from dalsegno.graphs.documents.grammar import Unreadable, refuse
from dalsegno.graphs.documents.problems import Problem, invalid
from dalsegno.graphs.documents.references import Reference, Scope, reference_of, unquoted

LONGEST = 1_000
"""Characters of a condition, at most."""

DEEPEST = 50
"""So deep its parts are in each other, at most."""


@dataclass(frozen=True)
class Condition:
    """A condition that was read."""

    tree: Node
    text: str = field(compare=False)
    references: tuple[Reference, ...] = field(default=(), compare=False)

    def holds(self, scope: Scope) -> bool:
        """Whether it holds.

        Raises
        ------
        ValueUnfit
            A value is of no kind that its operation is about: a text is compared with a number, a length is asked of
            a number, or what stands for itself is neither true, false nor null.
        """
        return Decision(self.text, scope).truth(self.tree)

    @property
    def source(self) -> str:
        """It as text, which is read as the same again."""
        return written(self.tree)


def parse_condition(text: str) -> Condition:
    """Read a condition.

    Raises
    ------
    DocumentInvalid
        It cannot be read, is longer than 1,000 characters, or nested more than 50 deep; or some part of it can never
        be right, such as ``length(5)``. The problem has the character that it is at.
    """
    try:
        return _parse(text)
    except Unreadable as error:
        raise invalid([Problem(error.message, offset=error.offset)]) from None


# -- reading -------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _parse(text: str) -> Condition:
    from lark.exceptions import UnexpectedInput

    if len(text) > LONGEST:
        refuse(f"A condition has {LONGEST:,} characters at most, and this one {len(text):,}.", LONGEST)
    if not text.strip():
        refuse("A condition is empty. Write one, such as `$input.amount > 0`, or leave the field out.", 0)
    _check_nesting(text)
    try:
        found = grammar.tree(grammar.CONDITION, "condition", text)
    except UnexpectedInput as error:
        _explain(text, grammar.place_of(error, text))
    references: list[Reference] = []
    tree = _node(found, text, references, 0)
    check_kinds(tree, lambda reference: None)
    return Condition(tree, text, tuple(references))


def _check_nesting(text: str) -> None:
    """Before the text is parsed: brackets and `not`s one in the other; those in quotes are counted as well."""
    if sum(text.count(c) for c in "([") <= DEEPEST and text.count("not") <= DEEPEST:
        return
    depth = 0
    for at, character in enumerate(text):
        depth += (character in "([") - (character in ")]")
        if depth > DEEPEST:
            _too_deep(at)


def _too_deep(at: int) -> NoReturn:
    refuse(f"A condition is nested {DEEPEST} deep at most.", at)


def _node(tree: Any, text: str, references: list[Reference], depth: int) -> Node:
    if depth > DEEPEST:
        _too_deep(0)
    kind, children = tree.data, tree.children

    def parts(of: list[Any] = children) -> tuple[Node, ...]:
        return tuple(_node(child, text, references, depth + 1) for child in of)

    match kind:
        case "reference":
            begin, end = children[0].start_pos, children[-1].end_pos
            reference = reference_of(children, begin, text[begin:end])
            references.append(reference)
            return reference
        case "string":
            return Constant(unquoted(children[0]))
        case "number":
            written = str(children[0])
            return Constant(float(written) if set(written) & set(".eE") else int(written))
        case "true" | "false" | "null":
            return Constant({"true": True, "false": False, "null": None}[kind])
        case "listed":
            return Listed(parts())
        case "length":
            return Length(*parts())
        case "negation":
            return Negation(*parts())
        case "comparison":
            left, right = parts([children[0], children[2]])
            return Comparison(str(children[1]), left, right)
        case "membership":
            return Comparison("in", *parts())
        case "no_membership":
            return Negation(Comparison("in", *parts()))
        case "group":
            return _node(children[0], text, references, depth + 1)
    if len(children) == 1:
        return _node(children[0], text, references, depth)
    return Joined("and" if kind == "all_of" else "or", parts())


_STRING = re.compile(grammar.STRING)
_WORDS = ("and", "or", "in", "not", "length", "true", "false", "null")
_INSTEAD = {
    "&&": "and",
    "||": "or",
    "!": "not",
    "=": "==",
    "<>": "!=",
    "True": "true",
    "False": "false",
    "None": "null",
    "nil": "null",
    "undefined": "null",
    "AND": "and",
    "OR": "or",
    "NOT": "not",
    "IN": "in",
    "is": "==",
    "len": "length",
    "size": "length",
    "count": "length",
}


def _explain(text: str, at: int) -> NoReturn:
    """Say what is wrong at a character."""
    rest = text[at:]
    word = "".join(_word(rest))
    before = text[:at].rstrip()
    for wrong, right in _INSTEAD.items():
        if word == wrong or (not wrong.isalpha() and rest.startswith(wrong) and rest[:2] not in ("==", "!=")):
            refuse(f"`{wrong}` is written `{right}`.", at)
    if not rest:
        refuse(f"The condition ends too early, after `{before[-20:]}`.", len(text))
    if rest[0] in "\"'":
        why = (
            "has no operator before it, such as `==` or `and`"
            if _STRING.match(rest)
            else "is not closed"
            if rest.count(rest[0]) == 1
            else "has a backslash before another character than \\\\ \\' \\\" n t"
        )
        refuse(f"The text that begins here {why}.", at)
    if rest[0] in "+*/%-" and before:
        refuse(f"`{rest[0]}`: a condition does not calculate; let a step do it.", at)
    if rest.startswith(("${", "{")):
        refuse("A reference in a condition is written without braces: `$input.amount`.", at)
    if rest[0] in "<>=!":
        refuse("Comparisons do not chain: write `a < b and b < c`.", at)
    if word and word not in _WORDS and rest[len(word) :].lstrip()[:1] == "(":
        refuse("The only function is `length(…)`.", at)
    if before.endswith("length"):
        refuse("`length` has its value in brackets: `length($current)`.", at)
    if rest[0] == "[":
        refuse(
            'Behind a reference, brackets hold the number of an element or a key in quotes: `[0]`, `["a key"]`.',
            at,
        )
    if rest[0].isdigit():
        refuse(f"`{rest.split()[0][:40]}` is no number; a text is written in quotes.", at)
    if word and word not in _WORDS:
        refuse(
            f"`{word[:40]}` is unknown here. A text is written in quotes, `'{word[:40]}'`, and a reference with a "
            "dollar sign, such as `$input.amount`.",
            at,
        )
    refuse(f"`{(word or rest[0])[:40]}` cannot stand here.", at)


def _word(text: str) -> Iterator[str]:
    """The letters, digits and underscores that a text begins with."""
    for character in text:
        if not (character.isalnum() or character == "_"):
            return
        yield character
