"""Collecting no garbage while something large is made, of which everything lives until the end."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def garbage_kept(*, large: bool) -> Iterator[None]:
    """No collection of cycles meanwhile, where what is made is `large`.

    Looking through it again and again for garbage takes a third of the time and more.
    """
    if not large or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
