"""The grammars of references and conditions; lark is imported when the first text is parsed."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from lark import Lark
    from lark.exceptions import UnexpectedInput

PATHS = r"""
    FIELD.3: /\.[^\W\d]\w*(-\w+)*/
    INDEX.3: /\[-?[0-9]{1,9}\]/
    KEY.3: /\["([^"\\]|\\.)*"\]|\['([^'\\]|\\.)*'\]/
    ROOT.2: /\$[^\W\d]\w*/
"""
"""The parts of a reference. A hyphen belongs to a name where letters follow it, for steps are named so."""

TEMPLATE = (
    PATHS
    + r"""
    template: (text | bare | braced)*
    text: TEXT | DOLLAR | ESCAPED
    bare: _bare
    _bare: ROOT | _bare FIELD | _bare INDEX | _bare KEY
    braced: _braced MARK? "}"
    _braced: OPEN | _braced FIELD | _braced INDEX | _braced KEY
    OPEN.2: /\$\{[^\W\d]\w*/
    MARK: "?"
    ESCAPED.3: "$$"
    DOLLAR: /\$(?![^\W\d]|\{|\$)/
    TEXT: /[^$]+/
"""
)
# Two recursions, not one list for both: the lexer would take what closes a brace for text, and text for that.
"""A text with references in it. A dollar sign before anything but a letter or a brace is one."""

STRING = r"""\"([^\"\\]|\\[\"'\\nt])*\"|'([^'\\]|\\[\"'\\nt])*'"""
"""A text in a condition: behind a backslash stands what it can escape."""

CONDITION = (
    PATHS
    + r"""
    ?condition: both ("or" both)* -> any_of
    ?both: negated ("and" negated)* -> all_of
    ?negated: "not" negated -> negation
        | compared
    ?compared: operand
        | operand ORDER operand -> comparison
        | operand "in" operand -> membership
        | operand "not" "in" operand -> no_membership
    ?operand: "(" condition ")" -> group
        | reference
        | "length" "(" condition ")" -> length
        | "[" [condition ("," condition)*] "]" -> listed
        | STRING -> string
        | NUMBER -> number
        | "true" -> true
        | "false" -> false
        | "null" -> null
    reference: ROOT (FIELD | INDEX | KEY)* MARK?
    MARK: "?"
    ORDER: "==" | "!=" | "<=" | ">=" | "<" | ">"
    NUMBER: /-?[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?(?![\w.])/
    %ignore /[ \t\r\n]+/
"""
    + f"    STRING: /{STRING}/\n"
)
"""A condition. Comparisons do not chain, and there is no arithmetic."""


class Unreadable(Exception):
    """A text that the grammar does not have: what is wrong, and the character it is at, from 0."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


@cache
def parser(grammar: str, start: str) -> Lark:
    """The parser of a grammar, made once. It keeps no state between texts."""
    from lark import Lark

    return Lark(grammar, start=start, parser="lalr", maybe_placeholders=False)


def tree(grammar: str, start: str, text: str) -> Any:
    """The tree of a text.

    Raises
    ------
    UnexpectedInput
        Of lark: the grammar does not have it.
    """
    return parser(grammar, start).parse(text)


def place_of(error: UnexpectedInput, text: str) -> int:
    """The character that could not be read, from 0; the length of the text where more was expected."""
    at = getattr(error, "pos_in_stream", None)
    token = getattr(error, "token", None)
    return len(text) if at is None or at < 0 or getattr(token, "type", "") == "$END" else int(at)


def refuse(message: str, offset: int) -> NoReturn:
    """Raise `Unreadable`."""
    raise Unreadable(message, offset)
