"""Reading what a registry of agents says: JSON, or YAML in which a word is the text that it is written as."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from dalsegno.errors import DefinitionError


def read(text: str) -> Any:
    """The data of a text.

    Of YAML only ``true``, ``false``, ``null``, ``~`` and whole numbers mean something else: `no` and `on`, `1.10`,
    `010`, `12:30` and dates are texts, as in a workflow document.

    Raises
    ------
    DefinitionError
        It is neither.
    """
    try:
        return json.loads(text)  # not all of JSON is YAML: tabs, and characters in two halves
    except (ValueError, RecursionError):
        pass
    import yaml

    try:
        return yaml.load(text, _loader())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DefinitionError(f"it is neither YAML nor JSON: {' '.join(str(error).split())}") from error


@cache
def _loader() -> Any:
    import re

    import yaml

    class Plain(yaml.SafeLoader):
        """Knows no other words."""

    Plain.yaml_implicit_resolvers = {}
    for kind, words, begins in (
        ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
        ("bool", "true|True|TRUE|false|False|FALSE", list("tTfF")),
        ("int", "[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
        ("merge", "<<", ["<"]),
    ):
        Plain.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(f"(?:{words})$"), begins)
    return Plain
