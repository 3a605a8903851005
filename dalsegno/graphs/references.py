"""What the code of a callable refers to: graphs that it may run, and LangGraph's `Command` and `Send`.

Only references are looked at, nothing is called. What a callable reaches in another way (a graph that it
makes itself, a `Send` made by a function of another module) is not seen.
"""

from __future__ import annotations

import dis
import functools
import inspect
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from dalsegno.graphs import declarations as declared
from dalsegno.graphs.model import Place

MOST_LOOKS = 2_000
"""Most objects that are looked at for one callable."""

_LIBRARIES = ("langgraph", "langchain", "langchain_core", "langgraph_supervisor", "langgraph_swarm")


class Jumps(NamedTuple):
    """How the code of a callable goes on by itself.

    `here`: it makes a `Command` with a `goto`; `outside`: one for the parent graph; `sends`: it makes a `Send`.
    """

    here: bool = False
    outside: bool = False
    sends: bool = False


class Said(NamedTuple):
    """What a callable says of itself, in its annotations and in its code.

    `function` is its first Python function; `returns` the resolved return type; `targets` those of its
    `Command[Literal[...]]`; `returns_command` whether a `Command` is in its return type at all;
    `runs_graphs` whether its code refers to one.
    """

    function: types.FunctionType | None
    place: Place | None
    code: str | None
    returns: Any
    targets: tuple[str, ...]
    jumps: Jumps
    returns_command: bool
    runs_graphs: bool

    @property
    def undeclared(self) -> bool:
        """Whether it goes on by itself in its own graph, to targets that it does not declare."""
        goes = self.jumps.sends or self.returns_command
        return not self.targets and (self.jumps.here or (goes and not self.jumps.outside))


def said_by(action: Any, is_graph: Callable[[Any], bool]) -> Said:
    """What can be read of a callable, without calling it.

    The prebuilt nodes of LangGraph and LangChain say all they do in the edges beside them, and return
    commands that lead nowhere; a node that runs tools does what its tools do.
    """
    tools = runs_tools(action)
    function = next(_functions([action]), None)
    running = list(_functions(action.tools_by_name.values() if tools else [action]))
    users = [f for f in running if tools or not _is_library(f)]
    jumps = [_jumps_in(f.__code__, f.__globals__) for f in users]
    code = inspect.unwrap(function).__code__ if function is not None else None
    returns = declared.hints_of(function).get("return") if function is not None else None
    return Said(
        function=function,
        place=Place(code.co_filename, code.co_firstlineno) if code is not None else None,
        code=declared.code_hash(function),
        returns=None if any(map(_is_bare_command, (returns, *getattr(returns, "__args__", ())))) else returns,
        targets=declared.command_targets(function) if function is not None else (),
        jumps=Jumps(*map(any, zip(*jumps, strict=True))) if jumps else Jumps(),
        returns_command=not tools
        and bool(users)
        and (_mentions_command(returns) or names_unresolved(function, "Command")),
        runs_graphs=bool(_graphs_in(action, is_graph)),
    )


def _is_bare_command(hint: Any) -> bool:
    """Whether it is `Command` itself: a dataclass, whose fields are no keys that a node writes."""
    return isinstance(hint, type) and hint.__name__ == "Command" and hint.__module__.startswith("langgraph")


def _mentions_command(hint: Any) -> bool:
    if _is_bare_command(getattr(hint, "__origin__", hint)):
        return True
    return any(_mentions_command(arg) for arg in getattr(hint, "__args__", ()))


def names_unresolved(function: Any, name: str) -> bool:
    """Whether a return type that cannot be resolved has a name in it."""
    said = getattr(function, "__annotations__", {}).get("return")
    return isinstance(said, str) and name in said and not declared.hints_of(function)


def plain_function(action: Any) -> types.FunctionType | None:
    """The function that a callable only wraps for LangGraph: all that can be read of it is in there."""
    if runs_tools(action):
        return None
    function = getattr(action, "func", None) or getattr(action, "afunc", None) or action
    return function if isinstance(function, types.FunctionType) else None


def runs_tools(action: Any) -> bool:
    """Whether it is LangGraph's node that runs tools."""
    return isinstance(getattr(action, "tools_by_name", None), dict)


def _graphs_in(action: Any, is_graph: Callable[[Any], bool]) -> tuple[Any, ...]:
    """The graphs that a callable refers to, and so may run.

    Looks through closures, defaults, globals and attributes that its code names, functions of the same
    module, steps of sequences, and the functions of tools.
    """
    found: list[Any] = []
    seen: dict[tuple[int, frozenset[str]], Any] = {}  # holds what it has seen, for ids are used again
    waiting: list[tuple[Any, frozenset[str]]] = [(action, frozenset())]
    while waiting and len(seen) < MOST_LOOKS:
        part, named = waiting.pop()
        if (id(part), named) in seen:
            continue
        seen[id(part), named] = part
        if is_graph(part):
            found.append(part)
        else:
            waiting.extend(_parts(part, named))
    return tuple(found)


def _parts(part: Any, named: frozenset[str]) -> Iterator[tuple[Any, frozenset[str]]]:
    """What an object holds that may run with it; `named` are the attributes that the code before it names."""
    if isinstance(part, functools.partial):
        yield from ((p, named) for p in (part.func, *part.args, *part.keywords.values()))
    elif isinstance(part, types.MethodType):
        yield part.__func__, named
        yield part.__self__, _names_in(part.__func__.__code__) if _has_code(part.__func__) else named
    elif isinstance(part, types.FunctionType):
        yield from _referred(part)
    elif isinstance(part, list | tuple | set | frozenset):
        yield from ((p, named) for p in part)
    elif isinstance(part, dict):
        yield from ((p, named) for p in part.values())
    elif isinstance(part, types.ModuleType | type):
        held = (vars(part)[name] for name in named if name in vars(part))
        yield from (
            (p, named) for p in held if not isinstance(p, types.FunctionType | types.ModuleType | type)
        )
    else:
        yield from _held(part, named)


def _held(part: Any, named: frozenset[str]) -> Iterator[tuple[Any, frozenset[str]]]:
    """What an instance holds: everything in a runnable or a tool, else what the code before it names."""
    try:
        held = vars(part)
    except TypeError:
        return
    runs = hasattr(type(part), "invoke") and not hasattr(
        type(part), "get_num_tokens"
    )  # a model runs no graph
    yield from ((value, named) for name, value in held.items() if runs or name in named)
    if runs:
        return
    methods = vars(type(part))
    for name in (*named, "__call__"):
        if isinstance(method := methods.get(name), types.FunctionType):
            yield types.MethodType(method, part), named


def _referred(function: types.FunctionType) -> Iterator[tuple[Any, frozenset[str]]]:
    named = _names_in(function.__code__)
    values = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # not assigned yet
            continue
    wrapped = getattr(function, "__wrapped__", None)
    if wrapped is not None:
        values.append(wrapped)
    for name in _globals_in(function.__code__):
        value = function.__globals__.get(name)
        elsewhere = isinstance(value, types.FunctionType) and value.__module__ != function.__module__
        if not elsewhere:
            values.append(value)
    yield from ((value, named) for value in values)


def _functions(actions: Iterable[Any]) -> Iterator[types.FunctionType]:
    """The Python functions that run when one of the callables is called."""
    waiting = deque(actions)
    seen: set[int] = set()
    while waiting:
        part = waiting.popleft()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, functools.partial):
            waiting.extend((part.func, *(a for a in part.args if callable(a))))
        elif isinstance(part, types.MethodType):
            waiting.append(part.__func__)
        elif isinstance(part, types.FunctionType):
            yield part
            waiting.extend(w for w in (getattr(part, "__wrapped__", None),) if w is not None)
        elif inspect.isclass(part):
            continue
        elif hasattr(type(part), "invoke"):
            names = ("func", "afunc", "coroutine", "bound", "steps", "runnable")
            for value in (vars(part).get(name) for name in names):
                waiting.extend(value if isinstance(value, list) else [value] if value is not None else [])
        elif isinstance(call := getattr(type(part), "__call__", None), types.FunctionType):  # noqa: B004
            waiting.append(call)


def _is_library(function: types.FunctionType) -> bool:
    return (function.__module__ or "").partition(".")[0] in _LIBRARIES


def _has_code(function: Any) -> bool:
    return isinstance(getattr(function, "__code__", None), types.CodeType)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    waiting = [code]
    while waiting:
        part = waiting.pop()
        yield part
        waiting += [c for c in part.co_consts if isinstance(c, types.CodeType)]


@functools.lru_cache(maxsize=4096)
def _names_in(code: types.CodeType) -> frozenset[str]:
    return frozenset(name for part in _codes(code) for name in part.co_names)


@functools.lru_cache(maxsize=4096)
def _globals_in(code: types.CodeType) -> tuple[str, ...]:
    """The global names that a code object reads: `co_names` alone has attributes among them."""
    loads = ("LOAD_GLOBAL", "LOAD_NAME")
    names = (str(i.argval) for part in _codes(code) for i in dis.get_instructions(part) if i.opname in loads)
    return tuple(dict.fromkeys(names))


def _jumps_in(code: types.CodeType, names: dict[str, Any]) -> Jumps:
    said = _names_in(code)
    if not any(_is(name, "Command", names) for name in said):
        return Jumps(sends=any(_is(name, "Send", names) for name in said))
    # Keyword names of calls are constants of the code: Command(goto=..., graph=Command.PARENT).
    keywords = [c for part in _codes(code) for c in part.co_consts if isinstance(c, tuple) and "goto" in c]
    outside = "PARENT" in said and any("graph" in c for c in keywords)
    here = any(not (outside and "graph" in c) for c in keywords)
    return Jumps(here, outside, any(_is(name, "Send", names) for name in said))


def _is(name: str, wanted: str, names: dict[str, Any]) -> bool:
    """Whether a name in code is LangGraph's `Command` or `Send`, under whatever name it was imported."""
    value = names.get(name)
    if value is None:
        return name == wanted
    return getattr(value, "__name__", "") == wanted and getattr(value, "__module__", "").startswith(
        "langgraph"
    )
