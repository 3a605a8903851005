"""`import dalsegno` offers these names, all of them typed, and costs almost nothing."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

import dalsegno

PUBLIC = [
    "END",
    "START",
    "Budget",
    "Cache",
    "CircuitBreaker",
    "DalsegnoError",
    "Each",
    "Fallback",
    "Loop",
    "RateLimit",
    "RetryPolicy",
    "RunResult",
    "Runner",
    "Secret",
    "SqliteCheckpointer",
    "Timeout",
    "Watch",
    "Workflow",
    "__version__",
    "aeffect",
    "agent",
    "effect",
    "human",
    "remote",
    "tool",
    "validate",
]

SOURCE = Path(dalsegno.__file__)


def declared_imports() -> dict[str, str]:
    """Name and module of every import that only a type checker performs."""
    blocks = [
        node
        for node in ast.parse(SOURCE.read_text()).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    return {
        alias.asname or alias.name: node.module or ""
        for block in blocks
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def modules_after(statement: str) -> set[str]:
    """Names of the modules that a new interpreter has loaded after `statement`."""
    program = f"{statement}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout))


def test_the_public_names_are_these() -> None:
    assert dalsegno.__all__ == PUBLIC


def test_the_file_of_the_public_names_stays_under_45_lines() -> None:
    assert len(SOURCE.read_text().splitlines()) < 45


def test_the_version_is_the_one_that_was_installed() -> None:
    assert dalsegno.__version__ == "0.1.0.dev0"


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_can_be_used(name: str) -> None:
    assert getattr(dalsegno, name) is not None


def test_a_type_checker_sees_every_name_in_the_room_it_comes_from() -> None:
    assert declared_imports() == dalsegno._ROOMS


def test_a_name_that_does_not_exist_is_refused_with_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Wrokflow"):
        dalsegno.Wrokflow  # type: ignore[attr-defined]  # noqa: B018


def test_completion_lists_every_public_name() -> None:
    assert set(PUBLIC) <= set(dir(dalsegno))


def test_importing_dalsegno_loads_no_library_that_is_slow_to_import() -> None:
    loaded = {name.partition(".")[0] for name in modules_after("import dalsegno")}
    assert loaded.isdisjoint({"langgraph", "langchain_core", "networkx", "pydantic", "rich", "sqlite_utils"})


def test_the_links_at_the_root_are_not_what_an_installed_name_refers_to() -> None:
    spec = importlib.util.find_spec("dalsegno.graphs")
    assert spec is not None
    assert spec.name == "dalsegno.graphs"
    assert "graphs" not in sys.modules
