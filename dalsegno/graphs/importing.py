"""A user's Python file or module, imported under its own name; and what to say where that fails."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from dalsegno.errors import TargetNotLoaded, did_you_mean

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_OURS = (_PACKAGE + os.sep, "<frozen importlib", importlib.__file__)
"""Files whose frames stand between the command line and the user's code."""

_INSTALLED = ("site-packages", "dist-packages")


def refuse(target: str, reason: str, message: str) -> TargetNotLoaded:
    """The error for a target that leads to no graph."""
    return TargetNotLoaded(message, target=target, reason=reason)


def module_of_file(target: str, place: str) -> tuple[types.ModuleType, str]:
    """The module of a file, and the file's whole path."""
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
        raise refuse(
            target,
            "no file",
            f"`{place}` {what}{did_you_mean(file.name, [n for n in near if n != file.name]) or '.'}",
        )
    if file.suffix != ".py":
        raise refuse(target, "bad target", f"`{place}` is no Python file: its name does not end in .py.")
    file = Path(os.path.normpath(file))
    known = sys.modules.get(file.stem)
    if known is not None and file_of(known) == str(file) and getattr(known, "__spec__", None) is not None:
        return known, str(file)
    real = Path(os.path.realpath(file)) if file.is_symlink() else file  # as Python does for a script
    _neighbours.move_to(str(real.parent))
    if file.stem in sys.modules:
        raise refuse(
            target,
            "bad target",
            f"`{place}` has the name of a module that is imported already ({file_of(known) or 'built in'}), and "
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
        except KeyboardInterrupt:
            sys.modules.pop(file.stem, None)
            raise
        except BaseException as error:  # pytest's skip of a module is no Exception
            sys.modules.pop(file.stem, None)
            raise import_error(target, place, error) from users_own(error)
    _neighbours.names.add(file.stem)
    return module, str(file)


def module_of_name(target: str, place: str, folder: str | None = None) -> types.ModuleType:
    """The module of that name, found from `folder`, or from where we are."""
    if not all(part.isidentifier() for part in place.split(".")):
        raise refuse(
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
            raise import_error(target, place, error) from users_own(error)
        around, _, name = place.rpartition(".")
        hint = f"; did you mean `{place}.py`?" if os.path.isfile(f"{place}.py") else " from here."
        if target == place == error.name and hasattr(sys.modules.get(around), name):
            hint = f"; did you mean `{around}:{name}`?"
        raise refuse(
            target,
            "no module",
            f"There is no module `{error.name}` that can be imported{hint}",
        ) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise import_error(target, place, error) from users_own(error)


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
            self.names.update(n for n in fresh if self._is_inside(file_of(sys.modules[n])))

    def _is_inside(self, file: str | None) -> bool:
        inside = file is not None and file.startswith(self.folder + os.sep)
        return inside and not any(part in str(file) for part in _INSTALLED)


_neighbours = _Neighbours()


def file_of(module: types.ModuleType | None) -> str | None:
    """The file that a module came from, if any."""
    file = getattr(module, "__file__", None)
    return os.path.normpath(os.path.abspath(file)) if isinstance(file, str) else None


def import_error(target: str, place: str, error: BaseException) -> TargetNotLoaded:
    """Where the user's code failed, and with what."""
    own = users_own(error)
    at = _last_place(own)
    if isinstance(error, SyntaxError) and error.filename is not None:
        at = f"{error.filename}:{error.lineno}"
    said = f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}".rstrip(": .")
    hint = ""
    if isinstance(error, ImportError) and "relative import" in str(error):
        hint = f" The file is a part of a package: name it {_in_its_package(target, place)}."
    if isinstance(error, SystemExit) and not place.endswith("()"):
        hint = ' It ends the program when it is imported: put that under `if __name__ == "__main__":`.'
    where = f" at {at}" if at else ""
    return refuse(target, "import error", f"`{place}` failed{where}: {said}.{hint}")


def _in_its_package(target: str, place: str) -> str:
    """What a file is called as a module, and where: its packages are the folders around it that say so."""
    file = Path(place).absolute()
    packages = [folder.name for folder in takewhile(lambda f: (f / "__init__.py").is_file(), file.parents)]
    if not packages or file.suffix != ".py":
        return "package.module:name, from the package's folder"
    module = ".".join([*reversed(packages), file.stem])
    name = target.rpartition(".py")[2]  # with its colon, where there is one
    return f"`{module}{name}`, from the folder `{file.parents[len(packages)]}`"


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
