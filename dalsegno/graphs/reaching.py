"""Which graphs the code of a callable reaches, and so may run. Nothing is called."""

from __future__ import annotations

import dis
import functools
import inspect
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from langchain_core.language_models import BaseLanguageModel
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from dalsegno.nodes.tooling import known_of

MOST_LOOKS = 2_000
"""Most objects that are looked at for one callable."""

Ways = frozenset[tuple[str, ...]]
"""The attributes by which code goes on from a name: ``self.team.graph`` is ``("team", "graph")`` from `self`."""

_BARE: Ways = frozenset({()})
_LOOKS_ONLY = frozenset(
    f"{a}{name}"
    for a in ("", "a")
    for name in ("get_state", "get_state_history", "update_state", "get_graph", "get_subgraphs")
) | {
    *("get_name", "name", "nodes", "builder", "checkpointer", "config"),
    *("spec", "version", "validate", "draw", "to_dot", "to_mermaid", "to_networkx"),
    *("ledger", "pending", "difference", "cancel", "acancel", "drain", "delete", "close"),
}
"""What is done with a graph that does not run it."""


_HOLD_NOTHING = frozenset(
    (types.NoneType, bool, int, float, str, bytes, types.CodeType, types.BuiltinFunctionType)
)
"""Types of objects through which no code reaches anything."""


_READS_LOCALS = (
    *("LOAD_FAST", "STORE_FAST_LOAD_FAST"),
    *("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"),
)


def runs_a_graph(action: Any) -> bool:
    """Whether a callable refers to a LangGraph graph, a `Workflow` or a `Runner` in a way that may run it."""
    return any(True for _ in graphs_run_by(action))


def is_graph(value: Any) -> bool:
    """Whether it is a graph of LangGraph's, a `Workflow` or a `Runner`, or one of the classes that make them."""
    return _is_one_of(value, _kinds_of_graph())


def _is_one_of(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) or (isinstance(value, type) and any(value is kind for kind in kinds))


def _kinds_of_graph() -> tuple[type, ...]:
    # What was not imported, nothing refers to.
    found = (
        getattr(sys.modules.get(module), name, None)
        for module, name in (
            ("langgraph.graph.state", "StateGraph"),
            ("langgraph.pregel", "Pregel"),
            ("dalsegno.graphs.workflow", "Workflow"),
            ("dalsegno.runtime.runner", "Runner"),
        )
    )
    return tuple(kind for kind in found if kind is not None)


class Memory(NamedTuple):
    """What a callable's graphs do with the checkpointer of the graph around them.

    `keeps`: none of them refuses it (``checkpointer=False``). `lasts`: one of them remembers from one call to the next
    (``checkpointer=True``).
    """

    keeps: bool
    lasts: bool


def memory_of(action: Any) -> Memory:
    """How the LangGraph graphs were compiled that a callable may run, and those within them."""
    found = [getattr(graph, "checkpointer", None) for graph in graphs_run_by(action)]
    return Memory(not any(each is False for each in found), any(each is True for each in found))


def graphs_run_by(action: Any) -> Iterator[Any]:
    """The graphs to which a callable refers in a way that may run them, and those in them.

    Looks through closures, defaults, globals and attributes that its code names, methods and functions
    of the same module that it calls, steps of sequences, and the functions of tools. A graph that is only asked
    for its state is not run.
    """
    kinds = _kinds_of_graph()
    seen: dict[tuple[int, Ways], Any] = {}  # holds what it has seen, for ids are used again
    waiting: list[tuple[Any, Ways]] = [(action, _BARE)]
    while waiting and len(seen) < MOST_LOOKS:
        part, ways = waiting.pop()
        if type(part) in _HOLD_NOTHING or (id(part), ways) in seen:
            continue
        seen[id(part), ways] = part
        if _is_one_of(part, kinds):
            if all(way and way[0] in _LOOKS_ONLY for way in ways):
                continue
            yield part
        waiting.extend(_parts(part, ways))


def _parts(part: Any, ways: Ways) -> Iterator[tuple[Any, Ways]]:
    """What an object holds that may run with it, each with the ways in which the code goes on from there."""
    if isinstance(part, functools.partial):
        yield from ((p, _BARE) for p in (part.func, *part.args, *part.keywords.values()))
    elif isinstance(part, types.MethodType):
        yield part.__func__, _BARE
        if isinstance(part.__func__, types.FunctionType):
            own = part.__func__.__code__
            yield (
                part.__self__,
                _ways_in(own)[1].get(own.co_varnames[0], frozenset()) if own.co_argcount else _BARE,
            )
    elif isinstance(part, types.FunctionType):
        yield from _referred(part)
    elif isinstance(part, list | tuple | set | frozenset):
        yield from ((p, _BARE) for p in part)
    elif isinstance(part, dict):
        yield from ((p, _BARE) for p in part.values())
    elif isinstance(part, Runnable):
        # What a workflow that is a tool runs is proved to end.
        if not isinstance(part, BaseLanguageModel) and not (
            isinstance(part, BaseTool) and known_of(part).is_proved
        ):
            yield from ((p, _BARE) for p in vars(part).values())
    else:
        yield from _followed(part, ways)


def _followed(part: Any, ways: Ways) -> Iterator[tuple[Any, Ways]]:
    """What the code reaches through an instance, a class or a module; its own call where it is passed on."""
    held = vars(part) if hasattr(part, "__dict__") else {}
    kind = type(part)
    plain = not isinstance(part, types.ModuleType | type)
    for way in ways:
        name, rest = (way[0], way[1:]) if way else ("__call__", ())
        if name in held:
            value = held[name]
            if plain or not isinstance(value, types.FunctionType | type):
                yield value, frozenset({rest})
        elif plain and isinstance(
            method := inspect.getattr_static(kind, name, None), types.FunctionType | property
        ):
            function = method.fget if isinstance(method, property) else method
            if isinstance(function, types.FunctionType):
                yield types.MethodType(function, part), _BARE


def _referred(function: types.FunctionType) -> Iterator[tuple[Any, Ways]]:
    code = function.__code__
    global_ways, local_ways = _ways_in(code)
    for name, ways in global_ways.items():
        value = function.__globals__.get(name)
        if not isinstance(value, types.FunctionType) or value.__module__ == function.__module__:
            yield value, ways
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield cell.cell_contents, local_ways.get(name, frozenset())
        except ValueError:  # not assigned yet
            continue
    defaults = function.__defaults__ or ()
    named = dict(
        zip(code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount], defaults, strict=True)
    )
    for name, value in (named | (function.__kwdefaults__ or {})).items():
        yield value, local_ways.get(name, frozenset())
    if (wrapped := getattr(function, "__wrapped__", None)) is not None:
        yield wrapped, _BARE


@functools.lru_cache(maxsize=4096)
def _ways_in(code: types.CodeType) -> tuple[Mapping[str, Ways], Mapping[str, Ways]]:
    """How code goes on from the global and from the local names that it reads; functions within it too."""
    global_ways: dict[str, set[tuple[str, ...]]] = {}
    local_ways: dict[str, set[tuple[str, ...]]] = {}
    waiting = [code]
    while waiting:
        part = waiting.pop()
        waiting += [c for c in part.co_consts if isinstance(c, types.CodeType)]
        steps = list(dis.get_instructions(part))
        for i, step in enumerate(steps):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                found, names = global_ways, [str(step.argval)]
            elif names := _locals_read(step, part):
                found = local_ways
            else:
                continue
            for name in names[:-1]:
                found.setdefault(name, set()).add(())
            found.setdefault(names[-1], set()).add(_attributes(steps, i + 1))
    return (
        {name: frozenset(ways) for name, ways in global_ways.items()},
        {name: frozenset(ways) for name, ways in local_ways.items()},
    )


def _locals_read(step: dis.Instruction, code: types.CodeType) -> list[str]:
    """The local names that an instruction reads, of which only the last can have attributes."""
    if not step.opname.startswith(_READS_LOCALS):
        return []
    # Newer Pythons do two things at once.
    names = [str(n) for n in step.argval] if isinstance(step.argval, tuple) else [str(step.argval)]
    if step.opname.startswith("STORE"):
        names = names[1:]
    if "FAST" in step.opname:
        # So a closure is handed over since Python 3.13: the cell, not what is in it.
        cells = {*code.co_cellvars, *code.co_freevars}
        names = [name for name in names if name not in cells]
    return names


def _attributes(steps: list[dis.Instruction], start: int) -> tuple[str, ...]:
    found: list[str] = []
    for step in steps[start:]:
        if step.opname not in ("LOAD_ATTR", "LOAD_METHOD"):
            break
        found.append(str(step.argval))
    return tuple(found)
