"""What is surely there where a condition holds: so a step that asks for a result before it uses it is let pass."""

from __future__ import annotations

from collections.abc import Iterable

from dalsegno.graphs.documents.expressions import Comparison, Constant, Joined, Length, Listed, Negation, Node
from dalsegno.graphs.documents.problems import FieldPath
from dalsegno.graphs.documents.references import Reference

Way = tuple[str, FieldPath]
"""The root and the path of a reference; those of `$context.input` are those of `$input`."""

Ways = frozenset[Way]


def way_of(reference: Reference) -> Way:
    """Where a reference leads, whichever way it is written."""
    if reference.root == "context" and reference.path[:1] == ("input",):
        return "input", reference.path[1:]
    return reference.root, reference.path


def leads_through(ways: Iterable[Way], root: str, path: FieldPath) -> bool:
    """Whether one of these ways leads through a path, so that there is something."""
    return any(root == other and longer[: len(path)] == path for other, longer in ways)


def ways_where(node: Node, holds: bool) -> Ways:
    """The ways that lead to something where a condition holds, or where it does not.

    A reference that leads to nothing is null, which is equal to nothing but null, before and behind nothing, and in
    nothing: so what is compared otherwise is there.
    """
    match node:
        case Negation(of):
            return ways_where(of, not holds)
        case Joined(operator, parts):
            each = [ways_where(part, holds) for part in parts]
            all_of_them = (operator == "and") is holds
            return frozenset().union(*each) if all_of_them else frozenset.intersection(*each)
        case Comparison(operator, left, right):
            return _compared(operator, left, right, holds)
        case Reference():
            return frozenset({way_of(node)}) if holds else frozenset()
    return frozenset()


def _compared(operator: str, left: Node, right: Node, holds: bool) -> Ways:
    if operator in ("==", "!="):
        equal = (operator == "==") is holds
        sides = ((left, right), (right, left))
        return frozenset().union(
            *(_equal(one, other) if equal else _unequal(one, other) for one, other in sides)
        )
    if not holds:
        return frozenset()
    if operator == "in":
        found = _in(right)
        if isinstance(right, Listed) and all(_is_something(item) for item in right.items):
            found |= _in(left)
        return found
    found = _in(left) | _in(right)
    for one, other, more in ((left, right, (">", ">=")), (right, left, ("<", "<="))):
        least = other.value if isinstance(other, Constant) else None
        if isinstance(one, Length) and operator in more and isinstance(least, int | float):
            found |= _in(one.of) if least > 0 or (least == 0 and len(operator) == 1) else frozenset()
    return found


def _in(node: Node) -> Ways:
    return frozenset({way_of(node)}) if isinstance(node, Reference) else frozenset()


def _equal(one: Node, other: Node) -> Ways:
    """What is equal to something is there; what has a length of more than 0 is."""
    if isinstance(one, Length):
        return _in(one.of) if isinstance(other, Constant) and other.value not in (0, None) else frozenset()
    return _in(one) if _is_something(other) else frozenset()


def _unequal(one: Node, other: Node) -> Ways:
    """What is not null is there; what has not the length 0 is."""
    value = other.value if isinstance(other, Constant) else ...
    if isinstance(one, Length):
        return _in(one.of) if value == 0 and value is not False else frozenset()
    return _in(one) if value is None else frozenset()


def _is_something(node: Node) -> bool:
    """Whether it is surely not null."""
    if isinstance(node, Constant):
        return node.value is not None
    return isinstance(node, Listed | Length | Comparison | Negation | Joined)


def parts_that_hold(node: Node) -> frozenset[Node]:
    """The conditions that hold where this one holds: those that it joins with `and`, or itself."""
    if isinstance(node, Joined) and node.operator == "and":
        return frozenset().union(*(parts_that_hold(part) for part in node.parts))
    return frozenset({node})
