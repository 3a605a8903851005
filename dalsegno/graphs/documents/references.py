"""References in the values of a document: `$input.amount`, `Dear ${input.name}`.

They are data and nothing else. A reference is looked up in mappings by their keys and in lists by number: never an
attribute, never a call, and what it finds is not read again, whatever it looks like.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from dalsegno.errors import ValueUnfit, did_you_mean
from dalsegno.graphs.documents import grammar
from dalsegno.graphs.documents.grammar import Unreadable, refuse
from dalsegno.graphs.documents.kinds import NotPlain, described, text_of
from dalsegno.graphs.documents.looking import OF_CONTEXT, ROOTS, Reference, Scope, listed, short
from dalsegno.graphs.documents.problems import FieldPath, Problem, invalid

DEEPEST = 40
"""Values of a document are nested so deep at most."""

MOST_DOLLARS = 1_000
"""Dollar signs of one text, at most."""

_LONGEST_KEPT = 2_000


@dataclass(frozen=True)
class Template:
    """A text with references in it."""

    parts: tuple[str | Reference, ...]


@dataclass(frozen=True)
class Value:
    """A value of a document, with the references in it.

    `content` is the value with a `Reference` or a `Template` where a text has references.
    """

    content: Any
    references: tuple[Reference, ...] = field(default=(), compare=False)

    def resolve(self, scope: Scope) -> Any:
        """The value, with what the references lead to in their places.

        Mappings and lists are new ones each time. What a reference leads to is given as it is: not copied, and not
        read for references again.

        Raises
        ------
        ReferenceNotFound
            A reference leads to nothing, and is not optional.
        ValueUnfit
            What a reference inside a longer text leads to has no text.
        """
        return _resolved(self.content, scope)

    def as_text(self) -> Value:
        """The same, of a text: one that is a reference alone is text as well, as it is inside a longer one."""
        return (
            Value(Template((self.content,)), self.references) if isinstance(self.content, Reference) else self
        )

    @property
    def source(self) -> Any:
        """The value as it can be written, and is read as the same again."""
        return _written(self.content)


def parse_value(data: Any) -> Value:
    """Read the references in a value: a text, a number, a list or a mapping of any depth up to 40.

    Texts that are nothing but one reference become what it leads to, of whatever kind; in a longer text a reference is
    replaced by text. Keys of mappings are never references.

    Raises
    ------
    DocumentInvalid
        A reference cannot be read; each problem has its path in the value and its character in the text.
    """
    problems: list[Problem] = []
    references: list[Reference] = []
    content = _parsed(data, (), references, problems)
    if problems:
        raise invalid(problems)
    return Value(content, tuple(references))


def parse_text(text: str) -> str | Reference | Template:
    """Read the references of one text.

    Raises
    ------
    Unreadable
        One cannot be read.
    """
    if "$" not in text:
        return text
    if text.count("$") > MOST_DOLLARS:
        refuse(
            f"A text has at most {MOST_DOLLARS:,} dollar signs. Put parts of it into texts of their own.", 0
        )
    return _parse_text(text) if len(text) <= _LONGEST_KEPT else _parse_text.__wrapped__(text)


def reference_of(tokens: list[Any], offset: int, text: str) -> Reference:
    """The reference that lark's tokens are.

    Raises
    ------
    Unreadable
        It begins with no known root, or is none of `$context`.
    """
    root = tokens[0].strip("${")
    optional = tokens[-1].type == "MARK"
    path = tuple(_part(token) for token in tokens[1 : len(tokens) - optional])
    if root not in ROOTS:
        near = did_you_mean(f"${root}", [f"${each}" for each in ROOTS])
        if root in OF_CONTEXT:
            near = f"; did you mean `$context.{root}`?"
        refuse(
            f"`${root}` is no reference{near or f': they begin with {listed(ROOTS, dollar=True)}.'} "
            "A dollar sign that is to stay is written twice: `$$`.",
            offset,
        )
    if root == "context" and path and path[0] not in OF_CONTEXT:
        hint = did_you_mean(str(path[0]), OF_CONTEXT)
        steps = "" if hint else f" The result of a step is `$context.results.{path[0]}`."
        refuse(f"`$context` has no `{path[0]}`{hint or f'; it has {listed(OF_CONTEXT)}.'}{steps}", offset)
    if root == "context" and len(path) > 1 and path[0] in ("results", "input") and isinstance(path[1], int):
        refuse(f"`$context.{path[0]}` is a mapping: a name comes next, not [{path[1]}].", offset)
    return Reference(root, path, optional, text=text, offset=offset)


# -- reading -------------------------------------------------------------------------------------


def _parsed(data: Any, where: FieldPath, references: list[Reference], problems: list[Problem]) -> Any:
    if len(where) > DEEPEST:
        problems.append(Problem(f"A value is nested more than {DEEPEST} deep.", where))
        return None
    if isinstance(data, Mapping):
        return {k: _parsed(v, (*where, str(k)), references, problems) for k, v in data.items()}
    if isinstance(data, list | tuple):
        return [_parsed(v, (*where, n), references, problems) for n, v in enumerate(data)]
    if not isinstance(data, str):
        return data
    try:
        found = parse_text(data)
    except Unreadable as error:
        problems.append(Problem(error.message, where, error.offset))
        return None
    if isinstance(found, Reference):
        found = replace(found, where=where)
        references.append(found)
    elif isinstance(found, Template):
        placed = [p if isinstance(p, str) else replace(p, where=where) for p in found.parts]
        references += [p for p in placed if isinstance(p, Reference)]
        found = Template(tuple(placed))
    return found


@lru_cache(maxsize=4096)
def _parse_text(text: str) -> str | Reference | Template:
    from lark.exceptions import UnexpectedInput

    try:
        found = grammar.tree(grammar.TEMPLATE, "template", text)
    except UnexpectedInput as error:
        _explain(text, grammar.place_of(error, text))
    parts: list[str | Reference] = []
    ended = False  # right after a reference without braces
    for node in found.children:
        token = node.children[0]
        if node.data == "text":
            if ended and (token[0] == "[" or (token[:1] == "." and token[1:2].isdigit())):
                _explain(text, token.start_pos)
            piece = "$" if token.type == "ESCAPED" else str(token)
            if parts and isinstance(parts[-1], str):
                parts[-1] += piece
            else:
                parts.append(piece)
        else:
            end = node.children[-1].end_pos + (node.data == "braced")
            parts.append(reference_of(node.children, token.start_pos, text[token.start_pos : end]))
        ended = node.data == "bare"
    only = parts[0] if parts else ""
    if len(parts) == 1:
        return only
    if len(parts) == 2 and isinstance(only, Reference) and parts[1] == "?" and text[1] != "{":
        return replace(only, optional=True, text=text)
    return Template(tuple(parts))


def _explain(text: str, at: int) -> Any:
    """Say what is wrong with a reference that cannot be read at a character."""
    begin = text.rfind("${", 0, at + 2)
    rest = text[at:]
    if rest.startswith("["):
        refuse(
            "Behind a reference, brackets hold the number of an element or a key in quotes: `[0]`, `[-1]`, "
            '`["a key"]`. '
            "If they are text, put the reference into braces: `${…}`.",
            at,
        )
    if rest[:1] == "." and rest[1:2].isdigit():
        refuse(
            "The element of a list is written `[0]`, not `.0`; if it is text, put the reference into braces: `${…}`.",
            at,
        )
    inside = text[begin + 2 :].lstrip()
    if begin >= 0 and "}" not in text[begin:]:
        refuse("The brace of `${` is not closed; write `${input.name}`.", begin)
    if begin >= 0 and inside[:1] in ("$", "}", ""):
        refuse("In `${…}` stands a reference without its dollar sign: `${input.name}`.", begin)
    near = text[max(begin, 0) : text.find("}", at) + 1 or len(text)]
    refuse(
        f"`{short(near)}` is no reference: they are written as `${{input.name}}` or `${{current[0]}}`.", at
    )


def _part(token: Any) -> str | int:
    if token.type == "FIELD":
        return str(token[1:])
    if token.type == "INDEX":
        return int(token[1:-1])
    return unquoted(token[1:-1])


def unquoted(text: str) -> str:
    """The characters that a text in quotes means: a backslash takes the next one as it is, but `\\n` and `\\t`."""
    made: list[str] = []
    characters = iter(text[1:-1])
    for character in characters:
        if character == "\\":
            character = next(characters)
            character = {"n": "\n", "t": "\t"}.get(character, character)
        made.append(character)
    return "".join(made)


# -- resolving and writing -----------------------------------------------------------------------


def _resolved(content: Any, scope: Scope) -> Any:
    if isinstance(content, dict):
        return {key: _resolved(value, scope) for key, value in content.items()}
    if isinstance(content, list):
        return [_resolved(value, scope) for value in content]
    if isinstance(content, Reference):
        return content.resolve(scope)
    if isinstance(content, Template):
        return "".join(_texts(content, scope))
    return content


def _texts(template: Template, scope: Scope) -> Iterator[str]:
    for part in template.parts:
        if isinstance(part, str):
            yield part
            continue
        value = part.resolve(scope)
        if value is None and part.optional:
            continue
        try:
            yield text_of(value)
        except NotPlain as problem:
            raise ValueUnfit(
                f"`{part.text}` cannot stand inside a text: {problem}.",
                text=part.text,
                expected="a value that JSON has",
                got=described(value),
            ) from None


def _written(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _written(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_written(value) for value in content]
    if isinstance(content, Reference):
        return f"${{{content.canonical}}}"
    if isinstance(content, Template):
        return "".join(
            part.replace("$", "$$") if isinstance(part, str) else f"${{{part.canonical}}}"
            for part in content.parts
        )
    return content.replace("$", "$$") if isinstance(content, str) else content


__all__ = ["OF_CONTEXT", "ROOTS", "Reference", "Scope", "Template", "Value", "parse_value"]
