"""Loading what a command works on."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dalsegno.graphs.loading import LoadedTarget


def load(target: str) -> LoadedTarget:
    """The graph that a target means; see `dalsegno.graphs.loading.load_target`, which raises what this does."""
    from dalsegno.graphs.loading import load_target

    prepare(target.rpartition(":")[0] or target)
    return load_target(target)


def prepare(place: str) -> None:
    """Import what the graphs of a place need, where it is there, and keep the garbage collector from all of that.

    It lives to the end of the process, so looking for garbage in it is in vain: in the run, and when the process ends,
    where it takes a short command a fifth of its time. What the user's code makes later is collected as ever.
    """
    module = place.replace(".", os.sep)
    if not any(map(os.path.exists, (place, module, f"{module}.py"))):  # who errs is told at once
        return
    from dalsegno.graphs.garbage import garbage_kept

    with garbage_kept(large=True):
        import dalsegno.graphs.building  # noqa: F401
    gc.freeze()
