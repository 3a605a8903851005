"""Conditions of a document: `$input.amount > 0 and not $context.results.check.declined`.

A condition always comes to an end, for there are no loops, calls or definitions in it. A reference that leads to
nothing is null. What is of no kind that an operation is about is an error, and never quietly false.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NoReturn

from dalsegno.errors import ReferenceNotFound, ValueUnfit
from dalsegno.graphs.documents import grammar
from dalsegno.graphs.documents.grammar import Unreadable, refuse
from dalsegno.graphs.documents.kinds import (
    Kind,
    described,
    elements,
    in_words,
    kind_of,
    plain_keys,
    same,
    scalar,
    size,
)
from dalsegno.graphs.documents.problems import Problem, invalid
from dalsegno.graphs.documents.references import Reference, Scope, reference_of, unquoted

LONGEST = 1_000
"""Characters of a condition, at most."""

DEEPEST = 50
"""So deep its parts are in each other, at most."""


@dataclass(frozen=True)
class Constant:
    """A text, a number, true, false or null."""

    value: str | int | float | bool | None


@dataclass(frozen=True)
class Listed:
    """A list of values: `["mri", "xray"]`."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Length:
    """`length(…)`: of a text its characters, of an array its elements, of an object its keys; of null 0."""

    of: Node


@dataclass(frozen=True)
class Comparison:
    """Two values and `==`, `!=`, `<`, `<=`, `>`, `>=` or `in` between them."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Negation:
    """`not …`"""

    of: Node


@dataclass(frozen=True)
class Joined:
    """Several parts with `and` or `or` between them; those after the one that decides are not looked at."""

    operator: str
    parts: tuple[Node, ...]


Node = Constant | Reference | Listed | Length | Comparison | Negation | Joined


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
        return _Run(self, scope).truth(self.tree)

    @property
    def source(self) -> str:
        """It as text, which is read as the same again."""
        return _written(self.tree)


def parse_condition(text: str) -> Condition:
    """Read a condition.

    Raises
    ------
    DocumentInvalid
        It cannot be read, is longer than 1,000 characters, or nested more than 50 deep; or some part of it can never
        be right, such as ``length(5)``. The problem has the character that it is at.
    """
    try:
        condition = _parse(text)
        check_kinds(condition, lambda reference: None)
    except Unreadable as error:
        raise invalid([Problem(error.message, offset=error.offset)]) from None
    return condition


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
        if word == wrong or (not wrong.isalpha() and rest.startswith(wrong)):
            refuse(f"`{wrong}` is written `{right}`.", at)
    if not rest:
        refuse(f"The condition ends too early, after `{before[-20:]}`.", len(text))
    if rest[0] in "\"'":
        why = (
            "is not closed"
            if rest.count(rest[0]) == 1
            else "has a backslash before another character than \\\\ \\' \\\" n t"
        )
        refuse(f"The text that begins here {why}.", at)
    if rest[0] in "+*/%-" and before:
        refuse(f"`{rest[0]}`: a condition does not calculate; let a step do it.", at)
    if rest[:1] == "$" or rest.startswith("{"):
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


# -- kinds, before the run -----------------------------------------------------------------------

KindOf = Callable[[Reference], Kind | None]
"""Of which kind the value of a reference is; None where that is not known."""


def check_kinds(condition: Condition, known: KindOf) -> None:
    """Look for what can never be right, as far as kinds are known.

    Raises
    ------
    Unreadable
        The first that there is.
    """
    _truth_kind(condition.tree, condition, known)


def _truth_kind(node: Node, condition: Condition, known: KindOf) -> None:
    kind = _kind(node, condition, known)
    if kind not in (None, "boolean", "null"):
        refuse(_no_truth(_written(node), in_words(kind)), _offset(node))


def _kind(node: Node, condition: Condition, known: KindOf) -> Kind | None:
    match node:
        case Constant(value):
            return kind_of(value)
        case Reference():
            return known(node)
        case Listed(items):
            for item in items:
                _kind(item, condition, known)
            return "array"
        case Length(of):
            kind = _kind(of, condition, known)
            if kind in ("number", "boolean"):
                refuse(f"`{_written(of)}` is {in_words(kind)}, which has no length.", _offset(node))
            return "number"
        case Negation(of):
            _truth_kind(of, condition, known)
        case Joined(_, parts):
            for part in parts:
                _truth_kind(part, condition, known)
        case Comparison(operator, left, right):
            kinds = _kind(left, condition, known), _kind(right, condition, known)
            if None not in kinds and not _comparable(operator, *kinds):  # type: ignore[arg-type]  # not None
                refuse(_unlike(node, *(in_words(kind) for kind in kinds if kind)), _offset(node))
    return "boolean"


def _comparable(operator: str, left: Kind, right: Kind) -> bool:
    if operator in ("==", "!="):
        return True
    if operator == "in":
        return right in ("array", "null") or (left in ("string", "null") and right in ("string", "object"))
    return "null" in (left, right) or (left == right and left in ("string", "number"))


def _offset(node: Node) -> int:
    """Where the first reference in it stands, as the place to look at."""
    match node:
        case Reference():
            return node.offset
        case Length(of) | Negation(of):
            return _offset(of)
        case Comparison(_, left, right):
            return _offset(left) or _offset(right)
        case Joined(_, parts) | Listed(parts):
            return next((at for at in map(_offset, parts) if at), 0)
    return 0


# -- deciding ------------------------------------------------------------------------------------


def _no_truth(text: str, kind: str) -> str:
    return (
        f"`{text}` is {kind}, and only true, false and null decide by themselves. Compare it: `… != null`, "
        "`… == 'yes'`, `length(…) > 0`."
    )


def _unlike(node: Comparison, left: str, right: str) -> str:
    text = _written(node)
    if node.operator == "in":
        return f"`{text}` asks for {left} in {right}: anything can be in an array, and a string in a string or an object."
    return f"`{text}` compares {left} with {right}: only two numbers or two strings have an order."


@dataclass(frozen=True)
class _Run:
    """One decision."""

    condition: Condition
    scope: Scope

    def truth(self, node: Node) -> bool:
        match node:
            case Joined(operator, parts):
                deciding = operator == "or"
                for part in parts:
                    if self.truth(part) is deciding:
                        return deciding
                return not deciding
            case Negation(of):
                return not self.truth(of)
            case Comparison():
                return self.compared(node)
        value = self.value(node)
        if value is None or value is True or value is False:
            return value is True
        raise self.unfit(_no_truth(_written(node), described(value)), "true, false or null", described(value))

    def value(self, node: Node) -> Any:
        match node:
            case Constant(value):
                return value
            case Reference():
                try:
                    return node.find(self.scope)
                except ReferenceNotFound:
                    return None
            case Listed(items):
                return [self.value(item) for item in items]
            case Length(of):
                return self.length(of)
        return self.truth(node)

    def length(self, node: Node) -> int:
        value = self.value(node)
        kind = kind_of(value)
        if kind == "null":
            return 0
        if kind in ("string", "array", "object"):
            return size(value)
        raise self.unfit(
            f"`{_written(node)}` is {described(value)}, which has no length.",
            "a string, an array, an object or null",
            described(value),
        )

    def compared(self, node: Comparison) -> bool:
        left, right = self.value(node.left), self.value(node.right)
        if node.operator in ("==", "!="):
            return same(left, right) is (node.operator == "==")
        kinds = kind_of(left), kind_of(right)
        if not _comparable(node.operator, *kinds):
            raise self.unfit(
                _unlike(node, described(left), described(right)),
                "an array, or strings" if node.operator == "in" else "two numbers or two strings",
                f"{described(left)} and {described(right)}",
            )
        if node.operator == "in":
            return _is_in(left, right)
        if "null" in kinds:
            return False
        return _ordered(node.operator, scalar(left), scalar(right))

    def unfit(self, message: str, expected: str, got: str) -> ValueUnfit:
        said = f"The condition `{self.condition.text.strip()}` cannot be decided: {message}"
        return ValueUnfit(said, text=self.condition.text, expected=expected, got=got)


def _ordered(operator: str, left: Any, right: Any) -> bool:
    if operator in ("<", ">"):
        return bool(left < right if operator == "<" else left > right)
    return bool(left <= right if operator == "<=" else left >= right)


def _is_in(left: Any, right: Any) -> bool:
    kind = kind_of(right)
    if kind == "array":
        return any(same(left, item) for item in elements(right))
    if kind == "null" or left is None:
        return False
    if kind == "string":
        return scalar(left) in scalar(right)
    return scalar(left) in plain_keys(right)


# -- writing -------------------------------------------------------------------------------------


def _written(node: Node) -> str:
    match node:
        case Constant(value):
            return _constant(value)
        case Reference():
            return f"${node.canonical}"
        case Listed(items):
            return f"[{', '.join(map(_written, items))}]"
        case Length(of):
            return f"length({_written(of)})"
        case Negation(of):
            return f"not {_inside(of, Joined)}"
        case Comparison(operator, left, right):
            sides = [_inside(side, Joined, Negation, Comparison) for side in (left, right)]
            return f"{sides[0]} {operator} {sides[1]}"
        case Joined(operator, parts):
            return f" {operator} ".join(_inside(part, Joined) for part in parts)


def _inside(node: Node, *bracketed: type[Any]) -> str:
    text = _written(node)
    return f"({text})" if isinstance(node, bracketed) else text


def _constant(value: str | int | float | bool | None) -> str:
    if isinstance(value, str):
        for character, escaped in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n"), ("\t", "\\t")):
            value = value.replace(character, escaped)
        return f"'{value}'"
    return (
        {True: "true", False: "false", None: "null"}[value]
        if value is None or isinstance(value, bool)
        else repr(value)
    )
