"""JSON as the events that a YAML document has, so that both are composed by one code, with the same places."""

from __future__ import annotations

import re
from collections.abc import Iterator
from json.decoder import py_scanstring  # type: ignore[attr-defined]  # not in the stubs
from typing import Any

import yaml
from yaml.error import Mark

_TOKEN = re.compile(
    r'[ \t\r\n]*(?:([{}\[\],:])|(")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)\b)?'
)
_HALF = re.compile("[\ud800-\udfff]")
_WORD = re.compile(r"[^\s,\]}\[{:\"]*")


class NotJson(Exception):
    """Text that is no JSON: what is wrong, and the character it is at, from 0."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


def json_events(text: str) -> Iterator[yaml.Event]:
    """The events of a JSON text, one after the other: nothing is kept of what was read but the open brackets.

    Raises
    ------
    NotJson
        It is no JSON, or more than one.
    """
    lines = _Lines(text)
    yield yaml.DocumentStartEvent()
    waiting: list[str] = []  # of each open bracket, what comes next in it
    at, expected = 0, "value"
    while expected != "end" or waiting:
        at, kind, token = _next(text, at)
        mark = lines.mark(at - len(token))
        if expected in ("value", "value or ]") and kind in ("string", "plain"):
            if kind == "string":
                value, at = _string(text, at)
                yield _scalar(value, mark, lines.mark(at), plain=False)
            else:
                yield _scalar(token, mark, lines.mark(at), plain=True)
            expected = waiting[-1] if waiting else "end"
        elif expected in ("value", "value or ]") and token in ("{", "["):
            if token == "{":
                yield yaml.MappingStartEvent(None, None, True, mark, mark)
            else:
                yield yaml.SequenceStartEvent(None, None, True, mark, mark)
            waiting.append(", or }" if token == "{" else ", or ]")
            expected = "key or }" if token == "{" else "value or ]"
        elif expected in ("key", "key or }") and kind == "string":
            value, at = _string(text, at)
            yield _scalar(value, mark, lines.mark(at), plain=False)
            expected = ":"
        elif expected == ":" and token == ":":
            expected = "value"
        elif token and token in "}]" and expected.endswith(f" {token}"):
            waiting.pop()
            yield (yaml.MappingEndEvent if token == "}" else yaml.SequenceEndEvent)(mark, mark)
            expected = waiting[-1] if waiting else "end"
        elif expected.startswith(", or") and token == ",":
            expected = "key" if expected.endswith("}") else "value"
        else:
            raise NotJson(_unexpected(text, at - len(token), expected), at - len(token))
    at, _, token = _next(text, at)
    if token or at < len(text):
        raise NotJson("Something stands behind the end of the document.", at - len(token))
    yield yaml.DocumentEndEvent()


def _next(text: str, at: int) -> tuple[int, str, str]:
    """Where the next token ends, its kind and its text; of a string the opening quote."""
    found = _TOKEN.match(text, at)
    assert found is not None
    sign, quote, plain = found.groups()
    if quote:
        return found.end(), "string", quote
    return found.end(), "sign" if sign else "plain" if plain else "", sign or plain or ""


def _string(text: str, at: int) -> tuple[str, int]:
    try:
        value, end = py_scanstring(text, at)
    except ValueError as error:
        said, where = str(getattr(error, "msg", error)), int(getattr(error, "pos", at))
        where -= said.startswith("Invalid control")  # it is told with the character after it
        said = next((means for begins, means in _WRONG.items() if said.startswith(begins)), f"{said}.")
        raise NotJson(said, where) from None
    if half := _HALF.search(value):
        raise NotJson(
            f"In this text is half a character, \\u{ord(half[0]):04x}: its other half is missing.", at - 1
        )
    return str(value), int(end)


_WRONG = {
    "Unterminated string": "The quote that begins here is not closed.",
    "Invalid control character": "A text in quotes goes on over the line: write `\\n` for a new line, `\\t` for a tab.",
    "Invalid \\escape": "A backslash stands before a character that needs none: write `\\\\` for a backslash.",
    "Invalid \\uXXXX": "Behind `\\u` stand four hexadecimal digits.",
}


def _unexpected(text: str, at: int, expected: str) -> str:
    word = _WORD.match(text, at)
    there = (word[0] if word and word[0] else text[at : at + 1])[:40]
    wanted = {
        "value or ]": "a value",
        "key or }": "a key in quotes",
        "key": "a key in quotes",
        "value": "a value",
    }
    if not there:
        return "The document ends before it is complete."
    if expected in ("key", "value") and there in "}]":
        return f"Before `{there}` stands a comma: JSON has none after the last one."
    if there[0] in "#/":
        return "JSON has no comments; in a file that ends in .yaml there can be some."
    return f"Here stands `{there}`, and JSON needs {wanted.get(expected) or f'`{expected[0]}`'}."


def _scalar(value: str, begin: Any, end: Any, *, plain: bool) -> yaml.Event:
    return yaml.ScalarEvent(None, None, (plain, not plain), value, begin, end, style=None if plain else '"')


class _Lines:
    """Line and column of characters that are asked for in their order."""

    def __init__(self, text: str) -> None:
        self.text, self.line, self.begin, self.end = text, 0, 0, text.find("\n")

    def mark(self, at: int) -> Mark:
        while 0 <= self.end < at:
            self.line, self.begin = self.line + 1, self.end + 1
            self.end = self.text.find("\n", self.begin)
        return Mark("", at, self.line, at - self.begin, None, 0)
