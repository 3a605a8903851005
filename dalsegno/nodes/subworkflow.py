"""Which keys go into a subworkflow and which come out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def mapped(values: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    """The values under their new names.

    `keys` maps new name to old name; a value that is not there is left out.

    >>> mapped({"text": "rain", "n": 1}, {"draft": "text", "missing": "x"})
    {'draft': 'rain'}
    """
    return {new: values[old] for new, old in keys.items() if old in values}
