"""`dalsegno new`: a project that runs, passes its own test and draws itself."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dalsegno.cli import options
from dalsegno.cli.exits import COMPLETED, UsageError, reporting
from dalsegno.errors import quoted

if TYPE_CHECKING:
    from dalsegno.graphs.patterns.catalog import Pattern


@reporting
def command(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The folder of the project. It must be new or empty.")
    ],
    pattern: Annotated[
        str, typer.Option(metavar="PATTERN", help="The pattern to begin with: one of `dalsegno patterns`.")
    ] = "sequential",
    as_json: options.Json = False,
) -> int:
    """Start a project from a pattern.

    The folder gets a workflow, its input and its test.
    """
    from dalsegno.cli.patterns import pattern_of
    from dalsegno.cli.screen import Screen, print_json

    try:
        name = folder.resolve().name
        name.encode()
    except UnicodeError:
        raise UsageError(
            f"`{folder}`: a project is named after its folder, and this name is not UTF-8 text. Choose another."
        ) from None
    files = project(name, pattern_of(pattern))
    _write(folder, files)
    if as_json:
        print_json({"folder": str(folder), "pattern": pattern, "files": sorted(files)})
        return COMPLETED
    screen = Screen(sys.stdout)
    screen.line(f"{folder}: {', '.join(files)}")
    screen.line()
    there = f"./{folder}" if str(folder).startswith("-") else str(folder)
    for line in (f"cd {quoted(there)}", *_COMMANDS):
        screen.line(f"  {line}")
    return COMPLETED


_WIDTH = 110
"""Characters of a line."""

_COMMANDS = (
    "dalsegno check app.py:flow",
    "dalsegno run app.py:flow --input @input.json",
    "dalsegno draw app.py:flow",
    "python -m pytest  # the test needs it: pip install pytest",
)


def project(name: str, entry: Pattern) -> dict[str, str]:
    """The files of a project by their names: the pattern's example, its input, its test, and how they are used."""
    example = entry.example()
    defined = example.run()
    tree = ast.parse("\n".join(code for code, _ in example.shown))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & defined.keys()
    shown = "".join(_assertion(code, _quoted(value)) for code, value in example.shown)
    return {
        "app.py": f'"""{entry.purpose}"""\n\n{example.setup}',
        "input.json": json.dumps(defined["given"], indent=2, ensure_ascii=False) + "\n",
        "test_app.py": _TEST.format(names=", ".join(sorted(used | {"flow"})), shown=shown),
        "pyproject.toml": _PYPROJECT.format(
            name=_distribution(name), purpose=json.dumps(entry.purpose), width=_WIDTH
        ),
        "README.md": _README.format(
            name=name, pattern=entry.name, purpose=entry.purpose, commands="\n".join(_COMMANDS)
        ),
        ".gitignore": ".dalsegno/\n__pycache__/\n",
    }


def _assertion(code: str, value: str) -> str:
    line = f"    assert {code} == {value}\n"
    return line if len(line) <= _WIDTH else f"    expected = {value}\n    assert {code} == expected\n"


def _quoted(value: str) -> str:
    """Python code with its texts in double quotes, as formatters write them.

    >>> _quoted("['it', \\"it's\\", 'a \\"word\\"']")
    '["it", "it\\'s", \\'a "word"\\']'
    """
    parts = []
    for token in tokenize.generate_tokens(io.StringIO(value).readline):
        text = token.string
        if token.type == tokenize.STRING and text[0] == "'" and not {'"', "\\"} & set(text):
            text = f'"{text[1:-1]}"'
        parts.append(token._replace(string=text))
    return tokenize.untokenize(parts).strip()


def _distribution(folder: str) -> str:
    """A name that a package may have, made of a folder's."""
    return re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-") or "app"


def _write(folder: Path, files: dict[str, str]) -> None:
    begun: list[Path] = []
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"`{folder}` is there already, and not empty. Name a folder that is new.")
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            begun.append(folder / file)
            begun[-1].write_text(text, encoding="utf-8")
    except OSError as error:
        with contextlib.suppress(OSError):  # half a project would be in the way of the next attempt
            for path in begun:
                path.unlink(missing_ok=True)
        raise UsageError(
            f"`{error.filename or folder}` cannot be written: {error.strerror or error}. Name another folder."
        ) from None


_TEST = '''"""The workflow is proved to end, gives what it should, and draws itself."""

from __future__ import annotations

from pathlib import Path

from app import {names}


def test_every_run_ends() -> None:
    report = flow.validate()
    assert report.findings == (), str(report)


def test_it_gives_what_it_should() -> None:
{shown}

def test_it_draws_itself(tmp_path: Path) -> None:
    assert flow.draw(tmp_path / "flow.mmd").read_text()
'''

_PYPROJECT = """[project]
name = "{name}"
version = "0.1.0"
description = {purpose}
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["dalsegno"]

[dependency-groups]
dev = ["pytest>=8"]

[tool.setuptools]
py-modules = ["app"]

[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[tool.pytest.ini_options]
testpaths = ["."]
pythonpath = ["."]

[tool.ruff]
line-length = {width}
"""

_README = """# {name}

{purpose}

It began as the pattern `{pattern}`; `dalsegno patterns {pattern}` says when that is the right one, and when not.

```bash
{commands}
```

A run that was stopped or killed goes on with `dalsegno resume` and its thread, which `dalsegno runs` shows.
"""
