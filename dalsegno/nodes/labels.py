"""Any text where only some are taken: as a label in a LangGraph store, and as the name of a tool."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_TOOL = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What providers of models take for the name of a tool: any other is an error of each request."""
_CODES = str.maketrans({"%": "%25", ".": "%2E", "\0": "%00"})


def label(text: str) -> str:
    """A label of a namespace that only this text has: without a period and a NUL. Of most texts the text itself.

    >>> label("ada@example.org")
    'ada@example%2Eorg'
    """
    return text.translate(_CODES)


def tool_name(text: str) -> str:
    """A name that a model can call a tool by, and only this text has; of most names the name itself.

    >>> tool_name("look_up"), tool_name("Prüfung v1.0")
    ('look_up', 'Prufung_v1_0_5ef244')
    """
    if _TOOL.fullmatch(text):
        return text
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    mark = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:6]
    return f"{re.sub('[^A-Za-z0-9_-]+', '_', plain)[:57].strip('_')}_{mark}".lstrip("_")
