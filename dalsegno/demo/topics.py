"""The documentation topics that Python carries, split into passages for reading.

`pydoc_data.topics` is the text behind `help("with")`: the language reference as plain text, written
by Sphinx's text builder. Larger topics contain smaller ones word for word; such a passage belongs to
the smallest topic that has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypedDict

TARGET = 500
"""Characters after which a passage ends at the next paragraph."""
LEAST = 200
"""Characters that a passage has at least, where its section has as many."""
LIMIT = 1100
"""Characters after which it ends even before a list item or an example."""


class Passage(TypedDict):
    """A paragraph or so of a topic: plain data, so that it survives a checkpoint.

    `text` holds blocks separated by an empty line: unwrapped prose, list items (``* …``), and code
    indented by four spaces. `heading` is the way to it (``Naming and binding › Resolution of names``),
    `position` counts the passages of the topic from 0, `score` is the retrieval's (higher is better).
    """

    id: str
    topic: str
    heading: str
    position: int
    text: str
    score: float


class Block(NamedTuple):
    """One paragraph-like piece of a topic; `kind` is heading, signature, prose, item or code."""

    kind: str
    text: str
    level: int = 0


_UNDERLINE = re.compile(r"^([*=\-~^\"#+])\1{2,}$")
_SIGNATURE = re.compile(
    r"^(?:(?:class|exception|classmethod|staticmethod|abstractmethod|async|await) )*"
    r"[A-Za-z_][\w.]*(?:\(.*|\s*\[.*|\s*| = .*)$"
)
_ITEM = re.compile(r"^(\*|\d+\.|\[\d+\])\s+")
_LABEL = re.compile(r"^(?:Note|See also|Warning|Important|Tip|Hint|Caution|Attention|Danger|Error):$")
_STRONG = re.compile(r"\*\*(?=\S)([^*\n]+?)(?<=\S)\*\*")
_EMPHASIS = re.compile(r"(?<![\w*\"'])\*(?=[^\s*])([^*\"\n]+?)(?<=\S)\*(?![\w*\"'])")
_FOOTNOTE = re.compile(r"(?<=[\w.,)\"”]) \[\d+\](?=[\s.,;:)]|$)")


def load() -> dict[str, str]:
    """All topics of the running Python by name."""
    from pydoc_data import topics

    return {str(name): str(text) for name, text in dict(topics.topics).items()}


def split(topics: Mapping[str, str]) -> list[Passage]:
    """All passages of `topics`, each text once; topics in order of their names."""
    owned: dict[str, Passage] = {}
    for topic in sorted(
        topics, key=lambda name: (len(topics[name]), not _names_itself(name, topics[name]), name)
    ):
        for passage in passages(topic, topics[topic]):
            owned.setdefault(passage["text"], passage)
    return sorted(owned.values(), key=lambda passage: (passage["topic"], passage["position"]))


def _names_itself(name: str, text: str) -> bool:
    """`if` and `else` hold the same text; it belongs to the one its title names."""
    return f'"{name}"' in text.partition("\n")[0]


def passages(topic: str, text: str) -> list[Passage]:
    """One topic as passages: a new one at each heading, each signature, and after `TARGET` characters."""
    titles: list[tuple[int, str]] = []
    signature: tuple[int, str] | None = None
    pending: list[str] = []
    done: list[Passage] = []

    def flush() -> None:
        path = [title for _, title in titles[-2:]] + ([signature[1]] if signature else [])
        heading = " › ".join(path)
        if pending and sum(map(len, pending)) < LEAST and done and done[-1]["heading"] == heading:
            done[-1]["text"] = "\n\n".join([done[-1]["text"], *pending])
        elif pending:
            done.append(
                Passage(
                    id=f"{topic}:{len(done)}",
                    topic=topic,
                    heading=heading,
                    position=len(done),
                    text="\n\n".join(pending),
                    score=0.0,
                )
            )
        pending.clear()

    for block in blocks(text):
        size = sum(map(len, pending))
        if block.kind == "heading":
            flush()
            signature = None
            titles = [
                *((level, title) for level, title in titles if level < block.level),
                (block.level, block.text),
            ]
        elif block.kind == "signature":
            flush()
            signature = (block.level, block.text)
        else:
            if signature and block.level <= signature[0]:
                flush()
                signature = None
            elif size >= LIMIT or (size >= TARGET and block.kind == "prose"):
                flush()
            pending.append(block.text)
    flush()
    return done


def blocks(text: str) -> Iterator[Block]:
    """A topic's text as blocks; `level` is the indentation, for a heading its rank (1 is the title).

    Sphinx indents bodies of signatures, list items and notes by a fixed width; anything deeper than
    the bodies that are open is an example.
    """
    chunks = [chunk.split("\n") for chunk in re.split(r"\n[ \t]*\n", text.strip("\n"))]
    chunks = [[line.rstrip() for line in chunk if line.strip()] for chunk in chunks]
    chunks = [chunk for chunk in chunks if chunk]
    ranks: list[str] = []
    bodies = [0]
    for number, lines in enumerate(chunks):
        indent = _indent(lines[0])
        following = _indent(chunks[number + 1][0]) if number + 1 < len(chunks) else 0
        if (
            len(lines) >= 2
            and indent == 0
            and _UNDERLINE.match(lines[1])
            and len(lines[1]) >= len(lines[0]) - 2
        ):
            if lines[1][0] not in ranks:
                ranks.append(lines[1][0])
            bodies = [0]
            yield Block("heading", _clean(lines[0]), ranks.index(lines[1][0]) + 1)
            continue
        if lines[0].startswith("-[ "):
            bodies = [0]
            yield Block("heading", lines[0].strip("-[] "), len(ranks) + 1)
            continue
        bodies = [body for body in bodies if body <= indent]
        if indent not in bodies:
            yield Block("code", _example(lines), indent)
        elif lines[0].lstrip().startswith(("+-", "==")):
            yield from (Block("item", row, indent) for row in _rows(lines))
        elif following == indent + 3 and all(_SIGNATURE.match(line.strip()) for line in lines):
            bodies.append(following)
            yield Block("signature", ", ".join(line.strip() for line in lines), indent)
        elif _LABEL.match(lines[0].strip()) and following > indent and len(lines) == 1:
            bodies.append(following)
        else:
            for part in _items(lines):
                marker = _ITEM.match(part[0].strip())
                if marker:
                    bodies.append(indent + len(marker.group()))
                    yield Block("item", _clean(_joined(part)), indent)
                elif len(part) > 1 and _indent(part[1]) > indent:
                    bodies.append(_indent(part[1]))
                    yield Block("prose", _clean(f"{part[0].strip()}: {_joined(part[1:])}"), indent)
                else:
                    yield Block("prose", _clean(_joined(part)), indent)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _items(lines: list[str]) -> Iterator[list[str]]:
    """The list items that stand together without an empty line between them."""
    part: list[str] = []
    for line in lines:
        if (
            part
            and _ITEM.match(line.strip())
            and _indent(line) <= _indent(part[0])
            and _ITEM.match(part[0].strip())
        ):
            yield part
            part = []
        part.append(line)
    yield part


def _joined(lines: list[str]) -> str:
    """Wrapped lines as one; the text builder breaks lines after hyphens (``built-`` / ``in``)."""
    text = ""
    for line in lines:
        glue = (
            ""
            if not text or (text.endswith("-") and text[-2:-1].isalpha() and line.strip()[:1].islower())
            else " "
        )
        text += glue + line.strip()
    return text


def _clean(text: str) -> str:
    """Prose without emphasis marks and footnote references; quoted code stays as it is."""
    text = _FOOTNOTE.sub("", re.sub(r"\s+", " ", text).strip())
    return _EMPHASIS.sub(r"\1", _STRONG.sub(r"\1", text)) if "*" in text[1:] else text


def _example(lines: list[str]) -> str:
    least = min(map(_indent, lines))
    return "\n".join("    " + line[least:] for line in lines)


def _rows(lines: list[str]) -> Iterator[str]:
    """A grid table as list items, one a row: ``* first cell: second cell third cell``."""
    cells: list[list[str]] = []
    for line in lines:
        line = line.strip()
        if line.startswith(("+", "|=")):
            columns = [_clean(_joined([part for part in cell if part])) for cell in zip(*cells, strict=False)]
            if any(columns) and not line.startswith("|="):
                first, rest = columns[0], " ".join(column for column in columns[1:] if column)
                yield f"* {first}: {rest}" if rest else f"* {first}"
            cells = []
        elif line.startswith("|"):
            cells.append([cell.strip() for cell in line.strip("|").split(" | ")])
