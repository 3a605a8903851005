"""Tracebacks with the frames a user wrote, and without those between them."""

from __future__ import annotations

import os
import re
import traceback

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_BETWEEN = (
    f"{os.sep}site-packages{os.sep}",
    f"{os.sep}dist-packages{os.sep}",
    f"{os.sep}asyncio{os.sep}",
    f"{os.sep}concurrent{os.sep}futures{os.sep}",
    f"{os.sep}threading.py",
    f"{os.sep}contextlib.py",
)
_NOTE = re.compile(r"^During task with name '.*' and id '[0-9a-f-]+'$")
"""What LangGraph adds to every error; the node is named beside it."""
_FRAME = re.compile(r'^  File "(?P<file>[^"]+)", line \d+')


def users_part(error: BaseException | str, *, full: bool = False) -> str:
    """A traceback as text, without the frames of this package, of libraries and of the machinery below.

    Frames of the demo are a user's. Empty where there is no frame of a user's: the message says it all.
    """
    text = error if isinstance(error, str) else "".join(traceback.format_exception(error))
    if full:
        return text
    kept: list[str] = []
    frames = 0
    dropping = False
    for line in text.splitlines():
        frame = _FRAME.match(line)
        if frame is not None:
            dropping = _is_between(frame["file"])
            frames += not dropping
        elif not line.startswith("    "):
            dropping = False
        if not dropping and not _NOTE.match(line):
            kept.append(line)
    return "\n".join(kept) + "\n" if frames or isinstance(error, SyntaxError) else ""


def _is_between(file: str) -> bool:
    if file.startswith(_OURS):
        return not file.startswith(_OURS + "demo" + os.sep)
    return file.startswith("<frozen ") or any(part in file for part in _BETWEEN)
