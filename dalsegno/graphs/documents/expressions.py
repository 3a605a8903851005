"""The parts that conditions are made of, and how each is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dalsegno.graphs.documents.kinds import Kind, kind_of
from dalsegno.graphs.documents.references import Reference


@dataclass(frozen=True)
class Constant:
    """A text, a number, true, false or null."""

    value: str | int | float | bool | None
    kind: Kind = field(init=False, repr=False)
    """Python takes true for 1, and a condition does not."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", kind_of(self.value))


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


def written(node: Node) -> str:
    match node:
        case Constant(value):
            return _constant(value)
        case Reference():
            return f"${node.canonical}"
        case Listed(items):
            return f"[{', '.join(map(written, items))}]"
        case Length(of):
            return f"length({written(of)})"
        case Negation(of):
            return f"not {_inside(of, Joined)}"
        case Comparison(operator, left, right):
            sides = [_inside(side, Joined, Negation, Comparison) for side in (left, right)]
            return f"{sides[0]} {operator} {sides[1]}"
        case Joined(operator, parts):
            return f" {operator} ".join(_inside(part, Joined) for part in parts)


def _inside(node: Node, *bracketed: type[Any]) -> str:
    text = written(node)
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


def comparable(operator: str, left: Kind, right: Kind) -> bool:
    """Whether an operator has something to say of two kinds."""
    if operator in ("==", "!="):
        return True
    if operator == "in":
        return right in ("array", "null") or (left in ("string", "null") and right in ("string", "object"))
    return "null" in (left, right) or (left == right and left in ("string", "number"))


def no_truth(text: str, kind: str) -> str:
    """That something cannot stand for itself in a condition."""
    return (
        f"`{text}` is {kind}, and only true, false and null decide by themselves. Compare it: `… != null`, "
        "`… == 'yes'`, `length(…) > 0`."
    )


def unlike(node: Comparison, left: str, right: str) -> str:
    """That two kinds cannot be compared so."""
    text = written(node)
    if node.operator == "in":
        return f"`{text}` asks for {left} in {right}: an array can have anything in it, a string or an object strings."
    return f"`{text}` compares {left} with {right}: only two numbers or two strings have an order."
