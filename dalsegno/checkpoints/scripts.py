"""Where a stored type is, in a process that has another name for the file that defines it.

A file that is run as a script is `__main__`, and in a child process that `multiprocessing` has spawned `__mp_main__`.
Where the same file is imported it has its own name.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path

_MAIN = ("__main__", "__mp_main__")


def module_here(allowed: Collection[tuple[str, ...]], module: str, name: str) -> str:
    """The module that an allowed type stored as one of `module` has here; `module` itself where there is none, or
    where it could be one of several."""
    if module in _MAIN:
        others = {there for there, *rest in allowed if rest == [name]}
    elif module == _script():
        others = {there for there in _MAIN if (there, name) in allowed}
    else:
        return module
    return others.pop() if len(others) == 1 else module


def _script() -> str | None:
    """What the module that was run as a script would be called if it was imported."""
    main = sys.modules.get("__main__")
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:
        return str(spec.name)
    return Path(file).stem if isinstance(file, str) else None
