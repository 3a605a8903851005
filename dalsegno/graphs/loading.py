"""From a target as it is written on a command line to the graph it means."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dalsegno.errors import TargetNotLoaded, did_you_mean

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_OURS = (_PACKAGE + os.sep, "<frozen importlib", importlib.__file__)
"""Files whose frames stand between the command line and the user's code."""

DOCUMENTS = (".yaml", ".yml", ".json")
"""How the names of workflow documents end."""

_INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class LoadedTarget:
    """A graph, and where it came from.

    `target` finds it again from any folder: ``/absolute/path.py:name``, ``/absolute/flow.yaml`` or
    ``package.module:name``.
    """

    graph: Any
    target: str


def load_target(target: str) -> LoadedTarget:
    """Load ``path/to/file.py:name``, ``package.module:name`` or a workflow document, ``path/to/file.yaml``.

    The name may be dotted, and may be a `Workflow`, a `StateGraph`, a compiled graph, or a function
    without arguments that gives one. Without a name the module's only graph is taken. A file is imported
    as `python file.py` would find its neighbours: its folder comes first on `sys.path`, and the module has
    the file's own name, so that classes kept in a checkpoint are found again. The current folder is on
    `sys.path` for a module.

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
        module, place = _module_of_file(target, place)
    else:
        module = _module_of_name(target, place)
    if not name:
        name = _only_graph(target, place, module)
    found = _attribute(target, place, module, name)
    return LoadedTarget(_graph(target, name, found), f"{place}:{name}")


def load_function(target: str, folder: str | Path) -> Callable[..., Any]:
    """Load a function: ``file.py:name``, relative to `folder`, or ``package.module:name``, as seen from there.

    Raises
    ------
    TargetNotLoaded
        As of `load_target`; ``"not a function"`` where it is something else.
    """
    place, _, name = target.rpartition(":")
    if not place or not all(part.isidentifier() for part in name.split(".")):
        raise _refuse(
            target, "bad target", f"`{target}` is no function. Write file.py:name or package.module:name."
        )
    if _is_path(place):
        module, place = _module_of_file(target, str(Path(folder) / place))
    else:
        module = _module_of_name(target, place, str(folder))
    found = _attribute(target, place, module, name)
    if not callable(found) or _is_graph(found):
        raise _refuse(target, "not a function", f"`{name}` in `{place}` is {_words(found)}, not a function.")
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
        raise _refuse(
            target,
            "bad target",
            f"`{target}` is no target. Write path/to/file.py:name, package.module:name or path/to/file.yaml.",
        )
    return place, name


def _document(target: str, place: str, name: str) -> LoadedTarget:
    if name:
        raise _refuse(
            target,
            "bad target",
            f"`{place}` is a workflow document and holds one workflow: leave out `:{name}`.",
        )
    from dalsegno.graphs.definition import read_definition

    return LoadedTarget(read_definition(place).workflow(), os.path.abspath(place))


def _is_path(place: str) -> bool:
    return place.endswith(".py") or "/" in place or os.sep in place or Path(place).is_file()


def _refuse(target: str, reason: str, message: str) -> TargetNotLoaded:
    return TargetNotLoaded(message, target=target, reason=reason)


# -- importing -----------------------------------------------------------------------------------


def _module_of_file(target: str, place: str) -> tuple[types.ModuleType, str]:
    file = Path(place).absolute()
    near: list[str] = []
    if not os.path.isfile(file):  # and not Path.is_file, which fails where it may not look
        what = (
            "is a folder"
            if os.path.isdir(file)
            else "is no file"
            if os.path.exists(file)
            else "does not exist"
        )
        with suppress(OSError):  # the folder is none, or may not be read
            near = [p.name for p in file.parent.iterdir() if p.suffix == ".py"]
        raise _refuse(
            target,
            "no file",
            f"`{place}` {what}{did_you_mean(file.name, [n for n in near if n != file.name]) or '.'}",
        )
    if file.suffix != ".py":
        raise _refuse(target, "bad target", f"`{place}` is no Python file: its name does not end in .py.")
    file = Path(os.path.normpath(file))
    known = sys.modules.get(file.stem)
    if known is not None and _file_of(known) == str(file) and getattr(known, "__spec__", None) is not None:
        return known, str(file)
    _neighbours.move_to(str(file.parent))
    if file.stem in sys.modules:
        raise _refuse(
            target,
            "bad target",
            f"`{place}` has the name of a module that is imported already ({_file_of(known) or 'built in'}), and "
            "would take its place. Rename the file, or name it as a part of its package: package.module:name.",
        )
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with _neighbours.noted():
        sys.modules[file.stem] = module
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            sys.modules.pop(file.stem, None)
            raise _import_error(target, place, error) from users_own(error)
        except BaseException:
            sys.modules.pop(file.stem, None)
            raise
    return module, str(file)


def _module_of_name(target: str, place: str, folder: str | None = None) -> types.ModuleType:
    if not all(part.isidentifier() for part in place.split(".")):
        raise _refuse(
            target,
            "bad target",
            f"`{place}` is neither a file nor the name of a module. Write path/to/file.py:name or "
            "package.module:name.",
        )
    _neighbours.move_to(folder or os.getcwd())
    try:
        with _neighbours.noted():
            return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is None or not (place == error.name or place.startswith(error.name + ".")):
            raise _import_error(target, place, error) from users_own(error)
        hint = f"; did you mean `{place}.py`?" if Path(f"{place}.py").is_file() else " from here."
        raise _refuse(
            target,
            "no module",
            f"There is no module `{error.name}` that can be imported{hint}",
        ) from None
    except (Exception, SystemExit) as error:
        raise _import_error(target, place, error) from users_own(error)


@dataclass
class _Neighbours:
    """The folder of the file that was loaded last, and the modules that came from it.

    Two files in different folders may each have their own `nodes.py`. Loading the second forgets the
    modules of the first, as two processes would; what was loaded from them goes on working.
    """

    folder: str = ""
    added: bool = False
    names: set[str] = field(default_factory=set)

    def move_to(self, folder: str) -> None:
        """Put `folder` first on `sys.path`, in place of the one before."""
        if self.folder != folder:
            for name in self.names:
                sys.modules.pop(name, None)
            self.names.clear()
            if self.added and self.folder in sys.path:
                sys.path.remove(self.folder)
            self.folder, self.added = folder, folder not in sys.path
            if self.added:
                sys.path.insert(0, folder)
        importlib.invalidate_caches()

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Remember which modules are imported inside from this folder, and from nowhere else."""
        before = set(sys.modules)
        packages = {name.partition(".")[0] for name in before}
        try:
            yield
        finally:
            fresh = [n for n in sys.modules if n not in before and n.partition(".")[0] not in packages]
            self.names.update(n for n in fresh if self._is_inside(_file_of(sys.modules[n])))

    def _is_inside(self, file: str | None) -> bool:
        inside = file is not None and file.startswith(self.folder + os.sep)
        return inside and not any(part in str(file) for part in _INSTALLED)


_neighbours = _Neighbours()


def _file_of(module: types.ModuleType | None) -> str | None:
    file = getattr(module, "__file__", None)
    return os.path.normpath(os.path.abspath(file)) if isinstance(file, str) else None


def _import_error(target: str, place: str, error: BaseException) -> TargetNotLoaded:
    """Where the user's code failed, and with what."""
    own = users_own(error)
    at = _last_place(own)
    if isinstance(error, SyntaxError):
        at = f"{error.filename}:{error.lineno}"
    said = f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}".rstrip(": ")
    hint = ""
    if isinstance(error, ImportError) and "relative import" in str(error):
        hint = " The file is a part of a package: name it package.module:name, from the package's folder."
    if isinstance(error, SystemExit):
        hint = ' It ends the program when it is imported: put that under `if __name__ == "__main__":`.'
    where = f" at {at}" if at else ""
    return _refuse(target, "import error", f"`{place}` failed{where}: {said}.{hint}".replace("..", "."))


def users_own(error: BaseException) -> BaseException:
    """The same exception, its traceback without the frames of this package and of the import system."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        link.__traceback__ = _users_frames(link.__traceback__)
        link = link.__cause__ or link.__context__
    return error


def _users_frames(trace: types.TracebackType | None) -> types.TracebackType | None:
    frames = []
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith(_OURS):
            frames.append(trace)
        trace = trace.tb_next
    kept: types.TracebackType | None = None
    for frame in reversed(frames):
        kept = types.TracebackType(kept, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return kept


def _last_place(error: BaseException) -> str | None:
    trace, at = error.__traceback__, None
    while trace is not None:
        at = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return at


# -- finding the graph ---------------------------------------------------------------------------


def _only_graph(target: str, place: str, module: types.ModuleType) -> str:
    found = dict(_graphs_in(module))
    if len(found) == 1:
        return next(iter(found))
    if not found:
        raise _refuse(
            target,
            "no such name",
            f"`{place}` holds no graph under a name of its own. If a function makes it, name the function: "
            f"{place}:function.",
        )
    choices = ", ".join(f"{place}:{name}" for name in found)
    raise _refuse(target, "no such name", f"`{place}` holds several graphs; say which: {choices}.")


def _graphs_in(module: types.ModuleType) -> Iterator[tuple[str, Any]]:
    """Public names of graphs; a builder beside its own compiled graph is not another one."""
    graphs = {k: v for k, v in vars(module).items() if not k.startswith("_") and _is_graph(v)}
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
            raise _refuse(target, "no such name", f"{owner} has no `{part}`{hint or '.'}") from None
        done.append(part)
    return found


def _graph(target: str, name: str, found: Any) -> Any:
    if _is_graph(found):
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
    except (Exception, SystemExit) as error:
        raise _import_error(target, f"{name}()", error) from users_own(error)
    if _is_graph(made):
        return made
    if inspect.iscoroutine(made):
        made.close()
        raise _not_a_workflow(target, name, "is an async function; make it a plain one")
    raise _not_a_workflow(target, name, f"gave {_words(made)}")


def _not_a_workflow(target: str, name: str, what: str) -> TargetNotLoaded:
    return _refuse(
        target,
        "not a workflow",
        f"`{name}` in `{target}` {what}. A target is a Workflow, a StateGraph, a compiled graph, or a function "
        "without arguments that gives one.",
    )


def _words(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "None" if value is None else f"of type {type(value).__name__}"


def _is_graph(value: Any) -> bool:
    """Whether it is a graph; what has not imported LangGraph cannot hold one."""
    workflow = sys.modules.get("dalsegno.graphs.workflow")
    if workflow is not None and isinstance(value, workflow.Workflow):
        return True
    if "langgraph" not in sys.modules:
        return False
    from dalsegno.graphs.reading import is_langgraph

    return is_langgraph(value)
