"""What can be told of the kinds in a condition before it is decided."""

from __future__ import annotations

from collections.abc import Callable

from dalsegno.graphs.documents.expressions import (
    Comparison,
    Constant,
    Joined,
    Length,
    Listed,
    Negation,
    Node,
    comparable,
    no_truth,
    unlike,
    written,
)
from dalsegno.graphs.documents.grammar import refuse
from dalsegno.graphs.documents.kinds import Kind, in_words, kind_of
from dalsegno.graphs.documents.references import Reference

KindOf = Callable[[Reference], Kind | None]
"""Of which kind the value of a reference is; None where that is not known."""


def check_kinds(tree: Node, known: KindOf) -> None:
    """Look for what can never be right, as far as kinds are known.

    Raises
    ------
    Unreadable
        The first that there is.
    """
    _truth_kind(tree, known)


def _truth_kind(node: Node, known: KindOf) -> None:
    kind = _kind(node, known)
    if kind not in (None, "boolean", "null"):
        refuse(no_truth(written(node), in_words(kind)), _offset(node))


def _kind(node: Node, known: KindOf) -> Kind | None:
    match node:
        case Constant(value):
            return kind_of(value)
        case Reference():
            return known(node)
        case Listed(items):
            for item in items:
                _kind(item, known)
            return "array"
        case Length(of):
            kind = _kind(of, known)
            if kind in ("number", "boolean"):
                refuse(f"`{written(of)}` is {in_words(kind)}, which has no length.", _offset(node))
            return "number"
        case Negation(of):
            _truth_kind(of, known)
        case Joined(_, parts):
            for part in parts:
                _truth_kind(part, known)
        case Comparison(operator, left, right):
            kinds = _kind(left, known), _kind(right, known)
            if None not in kinds and not comparable(operator, *kinds):  # type: ignore[arg-type]  # not None
                refuse(unlike(node, *(in_words(kind) for kind in kinds if kind)), _offset(node))
    return "boolean"


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
