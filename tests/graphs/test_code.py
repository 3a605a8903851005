"""What is kept of a node's code: the same under every version of Python, and never the same for other code."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dalsegno.graphs.code import PYTHON, Code, compiled_by, same_code, source_hash

# What newer versions of Python compile, parse or print in another way than older ones.
SOURCE = '''
"""A module."""
import functools

LIMIT = 3

def documented(state):
    """A docstring.

        It is indented.
    """
    assert state, "it is there"
    return {"a": 1}

def texts(state, width=10):
    x = state["x"]
    return "a" f"b{x}" 'c' f"{x!r:>{width}} {x=} {x:}" f"\\N{BULLET}" "\U0001fae8", b"\\xff"

def inner(limit):
    def comprehending(state: dict, *args, more=[n for n in range(LIMIT)], **kwargs) -> dict:
        found = {n: (m for m in args if m) for n in range(limit) if n in {"a", "b", 1.5, 2j, None, ...}}
        return {**found, "b": [lambda: n for n in range(limit)], "c": args[1:-1:2]}
    return comprehending

comprehending = inner(3)

@functools.cache
@functools.lru_cache(maxsize=2)
def decorated(state): return state

class Node:
    async def __call__(self, state):
        async with state.lock as lock, state.other:
            async for part in state: yield [x async for x in part]
    def __mangled(self, state):
        try: return super().__init__(self.__x)
        except* ValueError as error: raise error from None
    called = __mangled

def matching(state):
    match state:
        case {"a": [1, *rest], **others} | Node(x=rest, y=others): return rest
        case -1 | "x" | None: pass
    while (n := len(state)) > 1: state = state[:n - 1]
    else: del state[0]

pair = (lambda state: {"a": 1}), (lambda state: {"a": 2}), lambda state: (lambda: {"a": 1})()
'''

HASHES = {
    "documented": "e302a7aec6d7",
    "texts": "29182e39b951",
    "comprehending": "f4fce4a3aa0f",
    "decorated": "0ffdcc9e342d",
    "Node.__call__": "1d379d38c17c",
    "Node.called": "261de1223cda",
    "matching": "017de434b362",
    "pair.0": "5ebede728f77",
    "pair.1": "0f4eba54aa17",
    "pair.2": "939a992a8703",
}


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Any]:
    """Import a module of that text."""

    def load(text: str, name: str = "app") -> Any:
        path = tmp_path / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        exec(compile(path.read_bytes(), path, "exec", dont_inherit=True), module.__dict__)
        return module

    return load


def found(module: Any, path: str) -> Any:
    for name in path.split("."):
        module = module[int(name)] if name.isdigit() else getattr(module, name)
    return inspect.unwrap(module)


def of_source(text: str, load: Callable[..., Any]) -> str:
    """The hash of the function `f` of a module."""
    hashed = source_hash(load(text).f)
    assert hashed is not None
    return hashed


def test_the_source_of_a_function_has_one_hash_under_every_version_of_python(
    load: Callable[..., Any],
) -> None:
    module = load(SOURCE)
    assert {path: source_hash(found(module, path)) for path in HASHES} == HASHES


def test_what_is_not_the_function_itself_does_not_count(load: Callable[..., Any]) -> None:
    module = load(
        "# a comment\n\n\nimport os\n" + SOURCE.replace("def matching", "def renamed").replace("# ", "#")
    )
    same = {path: hash for path, hash in HASHES.items() if path != "matching"} | {
        "renamed": HASHES["matching"]
    }
    assert {path: source_hash(found(module, path)) for path in same} == same


@pytest.mark.parametrize(
    ("was", "is_"),
    [
        ("def f(s): return s + 1", "def f(s): return s - 1"),
        ("def f(s): return s + 1", "def f(s): return s + 2"),
        ("def f(s): return 1", "def f(s): return True"),
        ("def f(s): return 1", "def f(s): return 1.0"),
        ("def f(s): return 'a'", "def f(s): return b'a'"),
        ("def f(s): return 0.0", "def f(s): return -0.0"),
        ("def f(s, k=1): return k", "def f(s, k=2): return k"),
        ("def f(s): return s", "async def f(s): return s"),
        ("def f(s): return s.a", "def f(s): return s.b"),
        ("def f(s): return (s, 1), 2", "def f(s): return s, (1, 2)"),
        ("def f(s): return [s, [1]]", "def f(s): return [s, 1]"),
        ("def f(s): return {**s}", "def f(s): return {s}"),
        ("def f(s): return f'{s}'", "def f(s): return f'{s!r}'"),
        ("def f(s): return f'{s}a'", "def f(s): return f'{s}b'"),
        ("def f(s): return f'a{s}'", "def f(s): return f'{s}a'"),
        ("def f(s):\n 'a'\n return 1", "def f(s):\n 'b'\n return 1"),
        ("def f(s):\n assert s\n return 1", "def f(s):\n return 1"),
        ("k = 1\ndef f(s): return k", "def _(k):\n def f(s): return k\n return f\nf = _(1)"),
        ("f = lambda s: (1, s)", "f = lambda s: (s, 1)"),
        ("g, f = lambda s: 1, lambda s: 2", "f, g = lambda s: 1, lambda s: 2"),
    ],
)
def test_another_source_has_another_hash(load: Callable[..., Any], was: str, is_: str) -> None:
    assert of_source(was, load) != of_source(is_, load)


def test_of_several_lambdas_on_a_line_each_has_its_own(load: Callable[..., Any]) -> None:
    lambdas = load(
        "fs = [lambda s: s, lambda s: (lambda: s)(), lambda s: [s, 'ä'], lambda s: s if s else 1]"
    ).fs
    hashes = [source_hash(f) for f in lambdas]
    assert len(set(hashes)) == 4
    assert None not in hashes
    for f, text in zip(lambdas, ("s", "(lambda: s)()", "[s, 'ä']", "s if s else 1"), strict=True):
        assert source_hash(f) == source_hash(load(f"f = lambda s: {text}", "alone").f)


def test_of_several_statements_on_a_line_each_is_found(load: Callable[..., Any]) -> None:
    module = load("a = 1; f = [\n  0, lambda s: 1]; g = lambda s: 2; b = 2\nh = lambda s: 3")
    for found, text in ((module.f[1], "1"), (module.g, "2"), (module.h, "3")):
        assert source_hash(found) == source_hash(load(f"f = lambda s: {text}", "alone").f)


def test_of_constants_on_a_line_each_is_found_beside_what_python_warns_of(load: Callable[..., Any]) -> None:
    with pytest.warns(SyntaxWarning):
        module = load("f, g, h = lambda s: None, lambda s: s is 1, lambda s, k=lambda: 4: 3")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for found, text in ((module.f, "s: None"), (module.h, "s, k=lambda: 4: 3")):
            assert source_hash(found) == source_hash(load(f"f = lambda {text}", "alone").f)


def test_a_file_that_was_edited_since_it_was_loaded_says_nothing(load: Callable[..., Any]) -> None:
    then = load("def f(s): return s + 1")
    hashed = source_hash(then.f)
    path = Path(then.f.__code__.co_filename)
    path.write_text("# what it was before\n\ndef f(s): return s + 1\n")
    assert source_hash(then.f) == hashed
    path.write_text("def f(s): return s + 100\n")
    assert source_hash(then.f) is None
    path.write_text("def f(s): return (\n")
    assert source_hash(then.f) is None
    path.unlink()
    assert source_hash(then.f) is None


def test_what_has_no_source_has_no_hash_of_it() -> None:
    made: dict[str, Any] = {}
    exec("def f(s): return s", made)
    assert source_hash(made["f"]) is None
    assert source_hash(len) is None
    assert source_hash(Path) is None
    assert Code([len]).bytecode is None
    assert Code([made["f"]]).kept.endswith(":")


def test_reading_a_source_tells_no_warnings_again(load: Callable[..., Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = load("def f(s): return s is 1, '\\d'")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert source_hash(module.f) is not None


def test_a_source_that_is_nested_too_deep_is_not_known(load: Callable[..., Any]) -> None:
    deep = load("def f(s): return " + " + ".join(["s"] * 900)).f
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(_depth() + 200)
    try:
        assert source_hash(deep) is None
    finally:
        sys.setrecursionlimit(limit)


def _depth() -> int:
    frame, depth = sys._getframe(), 0
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


@dataclasses.dataclass
class Kept:
    python: str = "cpython-3.11.7"
    bytecode: str = "b1"
    source: str = "s1"

    def __str__(self) -> str:
        return f"{self.python}:{self.bytecode}:{self.source}" if self.python else self.bytecode


@pytest.mark.parametrize(
    ("then", "now", "same"),
    [
        (Kept(), Kept(), True),
        (Kept(), Kept(bytecode="b2", source="s2"), False),
        # One Python: its bytecode is exact, also where the source is not known.
        (Kept(), Kept(bytecode="b2"), False),
        (Kept(source=""), Kept(source=""), True),
        (Kept(source=""), Kept(bytecode="b2", source=""), False),
        (Kept(), Kept(source=""), True),
        # Another Python: the source says it, and without it nothing does.
        (Kept(), Kept("cpython-3.13.0", "b2"), True),
        (Kept(), Kept("cpython-3.13.0", "b2", "s2"), False),
        (Kept(), Kept("cpython-3.13.0", "b1", "s2"), False),
        (Kept(), Kept("cpython-3.13.0", "b2", ""), None),
        (Kept(source=""), Kept("cpython-3.13.0", "b2"), None),
        (Kept(), Kept("cpython-3.13.0", "b1", ""), None),
        # Another patch of it, or what it was told to leave out.
        (Kept(), Kept("cpython-3.11.9", "b1", ""), True),
        (Kept(), Kept("cpython-3.11.9", "b2"), True),
        (Kept(), Kept("cpython-3.11.9", "b2", "s2"), False),
        (Kept(), Kept("cpython-3.11.9", "b2", ""), None),
        (Kept(), Kept("cpython-3.11.7-O1", "b2"), True),
        (Kept(), Kept("pypy-3.11.7", "b1", ""), None),
        # What earlier versions kept was the bytecode alone.
        (Kept(""), Kept(), True),
        (Kept(""), Kept(bytecode="b2"), False),
    ],
)
def test_whether_two_are_the_same_is_said_only_where_it_is_known(
    then: Kept, now: Kept, same: bool | None
) -> None:
    assert same_code(str(then), str(now)) is same


def test_what_is_kept_says_what_compiled_it(load: Callable[..., Any]) -> None:
    assert compiled_by("cpython-3.11.7-O1:b:s") == "cpython 3.11.7 O1"
    code = Code([load("def f(s): return s").f])
    assert code.kept == f"{PYTHON}:{code.bytecode}:{source_hash(code.functions[0])}"
    assert same_code(code.kept, code.kept) is True


def test_the_words_of_a_node_are_kept_with_what_it_calls(load: Callable[..., Any]) -> None:
    one, other = load("def f(s): return s").f, load("def f(s): return [s]", "other").f
    kept = [
        Code(functions, words).kept
        for words in ("a", "b")
        for functions in ([one], [other], [one, other], [])
    ]
    assert len({k.split(":")[1] for k in kept}) == len({k.split(":")[2] for k in kept}) == 8
    made: dict[str, Any] = {}
    exec("def f(s): return s", made)
    assert Code([one, made["f"]], "a").kept.endswith(":")
    assert not Code([one, len], "a").kept.endswith(":")


def test_another_process_is_told_of_code_that_cannot_go_there(load: Callable[..., Any]) -> None:
    code = Code([load("f = lambda s: 1").f], "words")
    there = pickle.loads(pickle.dumps(code))
    assert (there, there.kept) == (code, code.kept)
