"""What is kept of a node's code, to see at a resume whether it changed since.

Bytecode is exact, and another one under every version of Python. So the source is kept beside it, as a hash of its
syntax tree, where it can be had and is what the bytecode was made from: a file that was edited after it was loaded says
nothing about what runs.
"""

from __future__ import annotations

import ast
import bisect
import functools
import hashlib
import linecache
import sys
import threading
import types
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

PYTHON = "-".join(
    (
        sys.implementation.name,
        ".".join(map(str, sys.version_info[:3])),
        *([f"O{sys.flags.optimize}"] if sys.flags.optimize else ()),
    )
)
"""What compiled the code of this process; with ``-O`` it leaves out what it is told to assert."""

_NOT_SAID = frozenset(("ctx", "kind", "type_comment"))
_compiling = threading.Lock()


class Code:
    """The code of a node: of its function, or of all that it calls, with the words that it was given.

    Two are equal whose words and bytecode are.
    """

    def __init__(self, functions: Iterable[Any], words: str | None = None) -> None:
        self.functions = tuple(functions)
        self.words = words
        self.bytecode = self._hashed([bytecode_hash(function) for function in self.functions])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Code) and self.bytecode == other.bytecode

    def __hash__(self) -> int:
        return hash(self.bytecode)

    def __repr__(self) -> str:
        return f"Code({self.bytecode!r})"

    @functools.cached_property
    def kept(self) -> str:
        """What compiled it, its bytecode and its source, for `same_code` of another day; the source where it is
        known."""
        found = [source_hash(function) for function in self.functions]
        known = all(
            source is not None or _code_of(function) is None
            for function, source in zip(self.functions, found, strict=True)
        )
        return f"{PYTHON}:{self.bytecode}:{(self._hashed(found) or '') if known else ''}"

    def __getstate__(self) -> dict[str, Any]:
        """What there is to tell, for another process: functions stay in their own."""
        return {"functions": (), "words": self.words, "bytecode": self.bytecode, "kept": self.kept}

    def _hashed(self, parts: list[str | None]) -> str | None:
        if self.words is None:
            return parts[0]
        told = [self.words, *(part or "" for part in parts)]
        return hashlib.sha256("\x1f".join(told).encode()).hexdigest()[:12] if any(told) else None


def code_of(functions: Iterable[Any], words: str | None = None) -> Code | None:
    """The code of a node that calls these functions; None where it is not written in Python."""
    code = Code(functions, words)
    return code if code.bytecode is not None else None


def same_code(then: str, now: str) -> bool | None:
    """Whether what was kept of a node's code is of the same; None where that cannot be told.

    It cannot where another Python compiled it and a source is not known. What was kept by earlier versions is the
    bytecode alone.
    """
    python, bytecode, source = _parts(then)
    this, own, sources = _parts(now)
    if bytecode == own and (not python or _language(python) == _language(this)):
        return True
    if not python or python == this:
        return False
    return source == sources if source and sources else None


def compiled_by(kept: str) -> str:
    """What compiled it, for people: ``cpython 3.11.7``."""
    return kept.partition(":")[0].replace("-", " ")


def _parts(kept: str) -> tuple[str, str, str]:
    parts = kept.split(":")
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else ("", kept, "")


def _language(python: str) -> str:
    """What says what bytecode means: the same for 3.11.7 and 3.11.8."""
    return python.rpartition(".")[0]


def bytecode_hash(function: Any) -> str | None:
    """A short hash of a function's bytecode and constants; None where it has none."""
    code = _code_of(function)
    if code is None:
        return None
    digest = hashlib.sha256()
    pending = [code]
    while pending:
        part = pending.pop()
        digest.update(part.co_code + repr(part.co_names).encode())
        for constant in part.co_consts:
            if isinstance(constant, types.CodeType):
                pending.append(constant)
            elif isinstance(constant, frozenset):  # its order changes from process to process
                digest.update(repr(sorted(map(repr, constant))).encode())
            else:
                digest.update(repr(constant).encode())
    return digest.hexdigest()[:12]


def source_hash(function: Any) -> str | None:
    """A short hash of a function's source: the same under every version of Python, wherever it stands in its file,
    however it is laid out, and whatever it is called. None where its source is not known for certain."""
    code = _code_of(function)
    if not isinstance(code, types.CodeType):
        return None
    linecache.checkcache(code.co_filename)
    lines = linecache.getlines(code.co_filename, getattr(function, "__globals__", None))
    with _compiling:
        source = _source("".join(lines), code.co_filename) if lines else None
    node = source.of(code) if source is not None else None
    if node is None:
        return None
    digest = hashlib.sha256(repr(sorted(code.co_freevars)).encode())
    try:
        for word in _words(node):
            digest.update(word.encode("utf-8", "surrogatepass") + b"\0")
    except (RecursionError, ValueError):  # nested too deep, or a number too long to write out
        return None
    return digest.hexdigest()[:12]


def _code_of(function: Any) -> Any:
    return getattr(function, "__code__", None)


class _Source(NamedTuple):
    """A file: its statements, and what the functions in it compile to by name."""

    statements: list[ast.stmt]
    codes: dict[str, list[types.CodeType]]

    def of(self, code: types.CodeType) -> Any:
        """The function in the file that compiles to that code, wherever it has moved to since; None where none does."""
        near = sorted(
            self.codes.get(code.co_name, ()), key=lambda c: abs(c.co_firstlineno - code.co_firstlineno)
        )
        kept = types.SimpleNamespace(__code__=code)
        wanted = bytecode_hash(kept)
        for compiled in near:
            if bytecode_hash(types.SimpleNamespace(__code__=compiled)) == wanted:
                found = self._functions(compiled.co_firstlineno, compiled.co_name)
                return found[0] if len(found) == 1 else _around(compiled, found)
        return None

    def _functions(self, line: int, name: str) -> list[Any]:
        """The functions that begin on a line: of a decorated one that is its first decorator's."""
        last = bisect.bisect_right(self.statements, line, key=_first_line)
        first = bisect.bisect_left(self.statements, line, key=_first_line)
        return [
            node
            for statement in self.statements[max(first - 1, 0) : last]  # several may stand on one line
            for node in ast.walk(statement)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            and getattr(node, "name", "<lambda>") == name
            and _first_line(node) == line
        ]


@functools.lru_cache(maxsize=4)
def _source(text: str, filename: str) -> _Source | None:
    """What is in a file; None where it is not valid, or nested too deep."""
    try:
        with warnings.catch_warnings():  # they were told when it was imported
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
            module = compile(tree, filename, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    source = _Source(tree.body, defaultdict(list))
    pending = [module]
    while pending:
        part = pending.pop()
        source.codes[part.co_name].append(part)
        pending += [constant for constant in part.co_consts if isinstance(constant, types.CodeType)]
    return source


def _first_line(node: Any) -> int:
    lines = (decorator.lineno for decorator in getattr(node, "decorator_list", ()))
    return int(min([node.lineno, *lines]))


def _around(code: types.CodeType, lambdas: list[Any]) -> Any:
    """The one of several on a line that a code is of: the smallest that all of it lies in."""
    placed = [
        ((line, column), (end, last))
        for line, end, column, last in code.co_positions()
        if None not in (line, end, column, last) and (line, column) != (end, last)
    ]
    if not placed:  # under Python 3.12, of one that returns a constant
        return _same(code, lambdas)
    around = [
        (node.body.end_lineno - node.body.lineno, node.body.end_col_offset - node.body.col_offset, place)
        for place, node in enumerate(lambdas)
        if (node.body.lineno, node.body.col_offset) <= min(start for start, _ in placed)
        and max(end for _, end in placed) <= (node.body.end_lineno, node.body.end_col_offset)
    ]
    return lambdas[min(around)[-1]] if around else None


def _same(code: types.CodeType, lambdas: list[Any]) -> Any:
    """The one of several that compiles to a code by itself; None where others do that say another thing."""
    wanted = bytecode_hash(types.SimpleNamespace(__code__=code))
    found: dict[tuple[str, ...], Any] = {}
    try:
        with _compiling, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for node in lambdas:
                alone = compile(ast.Expression(node), code.co_filename, "eval", dont_inherit=True)
                parts = [part for part in alone.co_consts if isinstance(part, types.CodeType)]
                if wanted in [bytecode_hash(types.SimpleNamespace(__code__=part)) for part in parts]:
                    found[tuple(_words(node))] = node
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return next(iter(found.values())) if len(found) == 1 else None


def _words(node: Any, outermost: bool = True) -> Iterator[str]:
    """A syntax tree as words, without what only some versions of Python say of it."""
    if isinstance(node, list):
        yield f"[{len(node)}"
        for part in node:
            yield from _words(part, False)
    elif not isinstance(node, ast.AST):
        yield f"{type(node).__name__} {node!a}"
    else:
        yield type(node).__name__
        for name, value in ast.iter_fields(node):
            if value is None or value == [] or name in _NOT_SAID or (outermost and name == "name"):
                continue
            yield name
            yield from _words(_joined(value) if isinstance(node, ast.JoinedStr) else value, False)
        yield ")"


def _joined(parts: list[Any]) -> list[Any]:
    """The parts of an f-string; whether text between two values is one constant or several depends on the version."""
    told: list[Any] = []
    for part in parts:
        text = part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else None
        if text is None:
            told.append(part)
        elif told and isinstance(told[-1], str):
            told[-1] += text
        elif text:
            told.append(text)
    return told
