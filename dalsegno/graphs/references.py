"""What a callable says of itself: its annotations, and the `Command`s and `Send`s in its code.

Only references are looked at, nothing is called: in its code, in functions of its closure and of its module that it
names, and in what it wraps. What it reaches in another way (a graph that it makes itself, a `Send` made by a function
of another module) is not seen.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from dalsegno.graphs import declarations as declared
from dalsegno.graphs.code import Code, code_of
from dalsegno.graphs.model import Place
from dalsegno.graphs.reaching import MOST_LOOKS, runs_a_graph
from dalsegno.nodes.aliases import meant

_FIELDS = frozenset(("graph", "update", "resume", "goto"))
_ASKED = frozenset(("isinstance", "issubclass", "cast"))
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
    code: Code | None
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


def said_by(action: Any) -> Said:
    """What can be read of a callable, without calling it.

    The prebuilt nodes of LangGraph and LangChain say all they do in the edges beside them, and return
    commands that lead nowhere; a node that runs tools does what its tools do.
    """
    tools = runs_tools(action)
    function = next(_functions([action]), None)
    running = list(_functions(action.tools_by_name.values() if tools else [action]))
    users = [f for f in running if tools or not _is_library(f)]
    jumps = [_jumps_in(f.__code__, _named(f)) for f in _with_helpers(users)]
    code = inspect.unwrap(function).__code__ if function is not None else None
    returns = declared.hints_of(function).get("return") if function is not None else None
    return Said(
        function=function,
        place=Place(code.co_filename, code.co_firstlineno) if code is not None else None,
        code=code_of([declared.function_of(function)]),
        returns=None if any(map(_is_bare_command, (returns, *getattr(returns, "__args__", ())))) else returns,
        targets=declared.command_targets(function) if function is not None else (),
        jumps=Jumps(*map(any, zip(*jumps, strict=True))) if jumps else Jumps(),
        returns_command=not tools
        and bool(users)
        and (_mentions_command(returns) or names_unresolved(function, "Command")),
        runs_graphs=runs_a_graph(action),
    )


def _is_bare_command(hint: Any) -> bool:
    """Whether it is `Command` itself: a dataclass, whose fields are no keys that a node writes."""
    return isinstance(hint, type) and hint.__name__ == "Command" and hint.__module__.startswith("langgraph")


def _mentions_command(hint: Any) -> bool:
    hint = meant(hint)
    if _is_bare_command(getattr(hint, "__origin__", hint)):
        return True
    return any(_mentions_command(arg) for arg in getattr(hint, "__args__", ()))


def names_unresolved(function: Any, name: str) -> bool:
    """Whether a return type that cannot be resolved has a name in it."""
    said = getattr(function, "__annotations__", {}).get("return")
    return isinstance(said, str) and name in said and "return" not in declared.hints_of(function)


def plain_function(action: Any) -> types.FunctionType | None:
    """The function that a callable only wraps for LangGraph: all that can be read of it is in there."""
    if runs_tools(action):
        return None
    function = getattr(action, "func", None) or getattr(action, "afunc", None) or action
    return function if isinstance(function, types.FunctionType) else None


def runs_tools(action: Any) -> bool:
    """Whether it is LangGraph's node that runs tools."""
    return isinstance(getattr(action, "tools_by_name", None), dict)


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
            names = ("func", "afunc", "coroutine", "bound", "steps", "first", "middle", "last", "runnable")
            for value in (vars(part).get(name) for name in names):
                waiting.extend(value if isinstance(value, list) else [value] if value is not None else [])
        elif isinstance(call := getattr(type(part), "__call__", None), types.FunctionType):  # noqa: B004
            waiting.append(call)


def _named(function: types.FunctionType) -> Mapping[str, Any]:
    """What the names in the code of a function mean: its globals, and what its closure holds."""
    held = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        with contextlib.suppress(ValueError):  # not assigned yet
            held[name] = cell.cell_contents
    return {**function.__globals__, **held} if held else function.__globals__


def _with_helpers(functions: Iterable[types.FunctionType]) -> list[types.FunctionType]:
    """The functions, and those of their closures and of their own modules that their code names."""
    found = dict.fromkeys(functions)
    waiting = list(found)
    while waiting and len(found) < MOST_LOOKS:
        function = waiting.pop()
        names = _named(function)
        for name in _names_in(function.__code__):
            helper = names.get(name)
            if not isinstance(helper, types.FunctionType) or helper in found or _is_library(helper):
                continue
            if helper.__module__ == function.__module__:
                found[helper] = None
                waiting.append(helper)
    return list(found)


def _is_library(function: types.FunctionType) -> bool:
    return (function.__module__ or "").partition(".")[0] in _LIBRARIES


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    waiting = [code]
    while waiting:
        part = waiting.pop()
        yield part
        waiting += [c for c in part.co_consts if isinstance(c, types.CodeType)]


@functools.lru_cache(maxsize=4096)
def _names_in(code: types.CodeType) -> frozenset[str]:
    return frozenset(name for part in _codes(code) for name in (*part.co_names, *part.co_freevars))


def _jumps_in(code: types.CodeType, names: Mapping[str, Any]) -> Jumps:
    said = _names_in(code)
    if not any(_is(name, "Command", names) for name in said):
        return Jumps(sends=any(_is(name, "Send", names) for name in said))
    # Keyword names of calls are constants of the code: Command(goto=..., graph=Command.PARENT).
    named = [c for part in _codes(code) for c in part.co_consts if isinstance(c, tuple) and _FIELDS & {*c}]
    keywords = [c for c in named if "goto" in c]
    outside = "PARENT" in said and any("graph" in c for c in keywords)
    here = any(not (outside and "graph" in c) for c in keywords)
    if not named and not said & _ASKED:
        here = True  # Command(None, None, None, "a"), Command(**given): what is in it is not known
    return Jumps(here, outside, any(_is(name, "Send", names) for name in said))


def _is(name: str, wanted: str, names: Mapping[str, Any]) -> bool:
    """Whether a name in code is LangGraph's `Command` or `Send`, or of a class of that kind, whatever it is called."""
    value = names.get(name)
    if value is None:
        return name == wanted
    kinds = value.__mro__ if isinstance(value, type) else ()
    return any(kind.__name__ == wanted and kind.__module__.startswith("langgraph") for kind in kinds)
