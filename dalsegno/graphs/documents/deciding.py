"""Deciding a condition in a scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dalsegno.errors import ReferenceNotFound, ValueUnfit
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
from dalsegno.graphs.documents.kinds import described, elements, kind_of, plain_keys, same, scalar, size
from dalsegno.graphs.documents.references import Reference, Scope


@dataclass(frozen=True)
class Decision:
    """One decision: of a condition, in a scope."""

    condition: str
    scope: Scope

    def truth(self, node: Node) -> bool:
        """Whether a part holds; `ValueUnfit` where that cannot be said."""
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
        raise self.unfit(no_truth(written(node), described(value)), "true, false or null", described(value))

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
            f"`{written(node)}` is {described(value)}, which has no length.",
            "a string, an array, an object or null",
            described(value),
        )

    def compared(self, node: Comparison) -> bool:
        left, right = self.value(node.left), self.value(node.right)
        if node.operator in ("==", "!="):
            return same(left, right) is (node.operator == "==")
        kinds = kind_of(left), kind_of(right)
        if not comparable(node.operator, *kinds):
            raise self.unfit(
                unlike(node, described(left), described(right)),
                "an array, or strings" if node.operator == "in" else "two numbers or two strings",
                f"{described(left)} and {described(right)}",
            )
        if node.operator == "in":
            return _is_in(left, right)
        if "null" in kinds:
            return False
        return _ordered(node.operator, scalar(left), scalar(right))

    def unfit(self, message: str, expected: str, got: str) -> ValueUnfit:
        said = f"The condition `{self.condition.strip()}` cannot be decided: {message}"
        return ValueUnfit(said, text=self.condition, expected=expected, got=got)


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
