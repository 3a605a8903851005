"""The graphs below a folder: what `dalsegno check FOLDER` and a pre-commit hook look at.

Importing a file runs it, so a file is imported only where reading it says that it may hold a graph: it
imports dalsegno, langgraph or langchain's agents, and gives a public name to the result of a call. A YAML or JSON file
is a workflow document where it has `steps` with calls in them.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from dalsegno.errors import DocumentInvalid, TargetNotLoaded
from dalsegno.graphs import importing, loading

_MAKERS = ("dalsegno", "langgraph", "langgraph_supervisor", "langgraph_swarm", "langchain.agents")
_STEPS = re.compile(r"""^(?:steps|\s*"steps")\s*:""", re.MULTILINE)
_STEPS_ANYWHERE = re.compile(r"""\bsteps["']?\s*:""")
_LONGEST = 1_000_000
_SKIPPED = ("__pycache__", "node_modules", "site-packages", "dist-packages")


@dataclass(frozen=True)
class FoundGraph:
    """One graph: the target that loads it again from the same folder, and the graph itself."""

    target: str
    graph: Any


@dataclass(frozen=True)
class FoundGraphs:
    """The graphs of a folder or a file, in the order of files and lines; `failures` are files not loaded."""

    graphs: tuple[FoundGraph, ...]
    failures: tuple[TargetNotLoaded | DocumentInvalid, ...]

    @property
    def targets(self) -> list[str]:
        """The targets of `graphs`."""
        return [found.target for found in self.graphs]


def graphs_in(path: str | Path) -> FoundGraphs:
    """Find the graphs in a Python file, or in the Python files and workflow documents of a folder and those below it.

    A graph is a public name of a module that was given to a `Workflow`, a `StateGraph` or a compiled graph
    in this very file; one that was imported is found where it was made. A graph under two names is found
    once, and so is a builder with what was compiled from it. Hidden folders, virtual environments and
    installed packages are left out.

    Raises
    ------
    TargetNotLoaded
        There is no such file or folder (`.reason` is ``"no file"``). A file that cannot be imported is
        one of the `failures`.
    """
    place = Path(path)
    if not os.path.exists(place):
        raise TargetNotLoaded(
            f"`{path}` does not exist. Give a Python file, or a folder that holds some.",
            target=str(path),
            reason="no file",
        )
    graphs: list[FoundGraph] = []
    failures: list[TargetNotLoaded | DocumentInvalid] = []
    for file in _files(place, failures):
        try:
            graphs += _graphs_of(file)
        except (TargetNotLoaded, DocumentInvalid) as error:
            failures.append(error)
    return FoundGraphs(tuple(graphs), tuple(failures))


def _files(place: Path, failures: list[TargetNotLoaded | DocumentInvalid]) -> Iterator[Path]:
    """The files to look into; folders that cannot be read are noted among the `failures`."""
    if not place.is_dir():
        yield place
        return

    def not_listed(error: OSError) -> None:
        failures.append(_not_read(Path(error.filename), error))

    for folder, folders, files in os.walk(place, onerror=not_listed):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _SKIPPED
            and not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))
        )
        for name in sorted(files):
            file = Path(folder) / name
            if not os.path.isfile(file):  # a pipe, and a link to nothing
                continue
            if name.endswith(".py") or (loading.is_document(name) and _is_workflow(file)):
                yield file


def _is_workflow(file: Path) -> bool:
    """Whether a YAML or JSON file is a workflow document, by a look at its text."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")[:_LONGEST]  # in Latin-1 it is to be told of
    except OSError:
        return False
    if not any(word in text for word in ("agent_calls", "strategy")):
        return False
    return _STEPS.search(text) is not None or (
        _STEPS_ANYWHERE.search(text) is not None and _has_steps(text, file)
    )


def _has_steps(text: str, file: Path) -> bool:
    """Whether the steps in a text that is written in one line, or indented, are its own."""
    from dalsegno.graphs.documents.source import parse_source

    try:
        return "steps" in parse_source(text, file=str(file)).data
    except DocumentInvalid:
        return False


def _graphs_of(file: Path) -> Iterator[FoundGraph]:
    if loading.is_document(file.name):
        yield FoundGraph(str(file), loading.load_target(str(file)).graph)
        return
    names = _names_of(file)
    if not names:
        return
    module, where = _imported(file)
    held = {name: vars(module)[name] for name in names if loading.is_graph(vars(module).get(name))}
    builders = {id(getattr(graph, "builder", None)) for graph in held.values()}
    seen: set[int] = set()
    for name, graph in held.items():
        if id(graph) not in seen and id(graph) not in builders:
            seen.add(id(graph))
            yield FoundGraph(f"{where}:{name}", graph)


# -- reading without importing -------------------------------------------------------------------


def _names_of(file: Path) -> list[str]:
    """The public names that a file gives to results of calls, if it imports what makes graphs."""
    try:
        with tokenize.open(file) as stream:
            text = stream.read()
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise _not_read(file, error) from error
    if not any(maker.partition(".")[0] in text for maker in _MAKERS):
        return []
    try:
        tree = ast.parse(text, str(file))
    except (SyntaxError, ValueError, RecursionError) as error:
        raise _not_read(file, error) from error
    if not any(_makes_graphs(node) for node in ast.walk(tree)):
        return []
    names = [name for name in _assigned(tree.body) if not name.startswith("_")]
    return list(dict.fromkeys(names))


def _makes_graphs(node: ast.AST) -> bool:
    """Whether a statement imports a package that makes graphs, or a module of it."""
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        modules = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        return False
    return any(module == maker or module.startswith(maker + ".") for module in modules for maker in _MAKERS)


def _assigned(body: list[ast.stmt]) -> Iterator[str]:
    """The names that statements at the top of a module assign to; those of its main program are none."""
    for statement in body:
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.NamedExpr):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if statement.value is not None and any(
                isinstance(n, ast.Call) for n in ast.walk(statement.value)
            ):
                for target in targets:
                    yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))
        elif isinstance(statement, ast.If | ast.Try | ast.With | ast.For | ast.While):
            if isinstance(statement, ast.If) and _is_main(statement.test):
                yield from _assigned(statement.orelse)
                continue
            for part in ("body", "orelse", "finalbody"):
                yield from _assigned(getattr(statement, part, []))
            for handler in getattr(statement, "handlers", []):
                yield from _assigned(handler.body)


def _is_main(test: ast.expr) -> bool:
    return any(isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(test))


def _not_read(file: Path, error: Exception) -> TargetNotLoaded:
    at = f"{file}:{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else str(file)
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return TargetNotLoaded(
        f"`{file}` cannot be read at {at}: {type(error).__name__}: {said}.".replace("..", "."),
        target=str(file),
        reason="import error",
    )


# -- importing -----------------------------------------------------------------------------------


def _imported(file: Path) -> tuple[ModuleType, str]:
    """The module of a file, and how a target names it: as a part of its package where it is in one."""
    name = _dotted(file)
    if name is not None:
        return importing.module_of_name(name, name), name
    module, _ = importing.module_of_file(str(file), str(file))
    return module, str(file)


def _dotted(file: Path) -> str | None:
    """The name under which a file of a package is imported; None where that package would not be found."""
    whole = file.absolute()
    parts = [] if whole.stem == "__init__" else [whole.stem]
    folder = whole.parent
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        parts.insert(0, folder.name)
        folder = folder.parent
    if folder == whole.parent or not all(part.isidentifier() for part in parts):
        return None
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        spec = importlib.util.find_spec(parts[0])
    except (ImportError, ValueError):
        return None
    origin = spec.origin if spec is not None else None
    same = origin is not None and os.path.realpath(origin) == os.path.realpath(
        folder / parts[0] / "__init__.py"
    )
    return ".".join(parts) if same else None
