"""From a target as it is written on a command line to the graph it means."""

from __future__ import annotations

import inspect
import os
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dalsegno.errors import TargetNotLoaded, did_you_mean
from dalsegno.graphs.importing import import_error, module_of_file, module_of_name, refuse, users_own

DOCUMENTS = (".yaml", ".yml", ".json")
"""How the names of workflow documents end."""


@dataclass(frozen=True)
class LoadedTarget:
    """A graph, and where it came from.

    `target` finds it again from any folder: ``/absolute/path.py:name``, ``/absolute/flow.yaml`` or
    ``package.module:name``.
    """

    graph: Any
    target: str


def load_target(target: str, folder: str | Path | None = None) -> LoadedTarget:
    """Load ``path/to/file.py:name``, ``package.module:name`` or a workflow document, ``path/to/file.yaml``.

    The name may be dotted, and may be a `Workflow`, a `StateGraph`, a compiled graph, or a function
    without arguments that gives one. Without a name the module's only graph is taken. A file is imported
    as `python file.py` would find its neighbours: its folder comes first on `sys.path`, and the module has
    the file's own name, so that classes kept in a checkpoint are found again. The current folder is on
    `sys.path` for a module. With `folder`, Python files and modules are looked for from there on.

    Raises
    ------
    TargetNotLoaded
        `.reason` says which step failed: ``"bad target"``, ``"no file"``, ``"no module"``,
        ``"import error"`` (the cause is the user's own exception, with only the user's frames),
        ``"no such name"``, ``"not a workflow"``.
    DocumentInvalid
        It is a document, and cannot be read or be meant.
    """
    place, name = _split(target)
    if is_document(place):
        return _document(target, place, name)
    if _is_path(place):
        module, place = module_of_file(target, place if folder is None else str(Path(folder) / place))
    else:
        module = module_of_name(target, place, None if folder is None else str(folder))
    if not name:
        name = _only_graph(target, place, module)
    found = _attribute(target, place, module, name)
    return LoadedTarget(_graph(target, name, found), f"{place}:{name}")


def from_anywhere(target: str) -> str:
    """A target that can be kept: that of a file which is there is found again from any folder."""
    if os.path.isfile(target):
        return os.path.abspath(target)
    place, colon, name = target.rpartition(":")
    return f"{os.path.abspath(place)}{colon}{name}" if os.path.isfile(place) else target


def load_function(target: str, folder: str | Path) -> Callable[..., Any]:
    """Load a function: ``file.py:name``, relative to `folder`, or ``package.module:name``, as seen from there.

    Raises
    ------
    TargetNotLoaded
        As of `load_target`; ``"not a function"`` where it is something else.
    """
    place, _, name = target.rpartition(":")
    if not place or not all(part.isidentifier() for part in name.split(".")):
        raise refuse(
            target, "bad target", f"`{target}` is no function. Write file.py:name or package.module:name."
        )
    if _is_path(place):
        module, place = module_of_file(target, str(Path(folder) / place))
    else:
        module = module_of_name(target, place, str(folder))
    found = _attribute(target, place, module, name)
    if not callable(found) or is_graph(found):
        raise refuse(target, "not a function", f"`{name}` in `{place}` is {_words(found)}, not a function.")
    return found  # type: ignore[no-any-return]  # it is callable


def is_document(place: str) -> bool:
    """Whether that is the name of a workflow document."""
    return place.lower().endswith(DOCUMENTS)


# -- reading the target --------------------------------------------------------------------------


def _split(target: str) -> tuple[str, str]:
    """Where and what: ``("app.py", "flow")``; what is empty where nothing was named."""
    place, colon, name = target.rpartition(":")
    if not colon or "/" in name or "\\" in name:  # `C:\app.py` has a drive, and no name
        place, colon, name = target, "", ""
    if not place.strip() or (colon and not all(part.isidentifier() for part in name.split("."))):
        raise refuse(
            target,
            "bad target",
            f"`{target}` is no target. Write path/to/file.py:name, package.module:name or path/to/file.yaml.",
        )
    return place, name


def _document(target: str, place: str, name: str) -> LoadedTarget:
    if name:
        raise refuse(
            target,
            "bad target",
            f"`{place}` is a workflow document and holds one workflow: leave out `:{name}`.",
        )
    from dalsegno.graphs.definition import read_definition

    return LoadedTarget(read_definition(place).workflow(), os.path.abspath(place))


def _is_path(place: str) -> bool:
    return place.endswith(".py") or "/" in place or os.sep in place or os.path.isfile(place)


def _only_graph(target: str, place: str, module: types.ModuleType) -> str:
    found = dict(_graphs_in(module))
    if len(found) == 1:
        return next(iter(found))
    if not found:
        raise refuse(
            target,
            "no such name",
            f"`{place}` holds no graph under a name of its own. If a function makes it, name the function: "
            f"{place}:function.",
        )
    choices = ", ".join(f"{place}:{name}" for name in found)
    raise refuse(target, "no such name", f"`{place}` holds several graphs; say which: {choices}.")


def _graphs_in(module: types.ModuleType) -> Iterator[tuple[str, Any]]:
    """Public names of graphs; a builder beside its own compiled graph is not another one."""
    graphs = {k: v for k, v in vars(module).items() if not k.startswith("_") and is_graph(v)}
    builders = {id(getattr(graph, "builder", None)) for graph in graphs.values()}
    seen: set[int] = set()
    for name, graph in graphs.items():
        if id(graph) not in builders and id(graph) not in seen:
            seen.add(id(graph))
            yield name, graph


def _attribute(target: str, place: str, module: types.ModuleType, name: str) -> Any:
    found: Any = module
    done: list[str] = []
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            graphs = [n for n, _ in _graphs_in(module)]
            known = [n for n in dir(found) if not n.startswith("_")]
            hint = did_you_mean(part, graphs) or did_you_mean(part, known)
            if not hint and graphs and not done:
                hint = f"; it has {', '.join(f'`{n}`' for n in graphs)}."
            owner = ".".join([f"`{place}`", *done]) if done else f"`{place}`"
            raise refuse(target, "no such name", f"{owner} has no `{part}`{hint or '.'}") from None
        done.append(part)
    return found


def _graph(target: str, name: str, found: Any) -> Any:
    if is_graph(found):
        return found
    if not callable(found):
        raise _not_a_workflow(target, name, f"is {_words(found)}")
    try:
        inspect.signature(found).bind()
    except TypeError:
        raise _not_a_workflow(
            target, name, "needs arguments; a function that makes a workflow takes none"
        ) from None
    except ValueError:
        raise _not_a_workflow(target, name, f"is {_words(found)}") from None
    try:
        made = found()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise import_error(target, f"{name}()", error) from users_own(error)
    if is_graph(made):
        return made
    if inspect.iscoroutine(made):
        made.close()
        raise _not_a_workflow(target, name, "is an async function; make it a plain one")
    raise _not_a_workflow(target, name, f"gave {'a value ' if made is not None else ''}{_words(made)}")


def _not_a_workflow(target: str, name: str, what: str) -> TargetNotLoaded:
    return refuse(
        target,
        "not a workflow",
        f"`{name}` in `{target}` {what}. A target is a Workflow, a StateGraph, a compiled graph, or a function "
        "without arguments that gives one.",
    )


def _words(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "None" if value is None else f"of type {type(value).__name__}"


def is_graph(value: Any) -> bool:
    """Whether it is a graph; what has not imported LangGraph cannot hold one."""
    workflow = sys.modules.get("dalsegno.graphs.workflow")
    if workflow is not None and isinstance(value, workflow.Workflow):
        return True
    if "langgraph" not in sys.modules:
        return False
    from dalsegno.graphs.reading import is_langgraph

    return is_langgraph(value)
