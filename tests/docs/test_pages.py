"""Every code block and every command of the README and the docs is executed.

In a page, in order, in one empty folder:

- a ``python`` block is executed, all blocks of a page in one namespace; one whose first line is a comment
  with a file's name (``# app.py``) is also written to that file
- a ``console`` block is a shell session: each ``$ command`` is run and must exit with 0, or with the code in
  a trailing ``# exit 3``; what stands below it must be its output, with ``…`` for anything
- a block of another language is written to its file if its first line names one; else it is for reading
"""

from __future__ import annotations

import contextlib
import fnmatch
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SERVERS = {"distributed.md": "orchestra", "postgresql.md": "server"}
"""The fixture that starts the servers of a page."""
_FILE = re.compile(r"^(?:#|//)\s*([\w./-]+\.\w+)\s*$")


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    for token in MarkdownIt().parse(page.read_text()):
        if token.type == "fence" and token.map:
            yield Block(token.info.split()[0] if token.info else "", token.content, token.map[0] + 1)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_pages_blocks_and_commands_work(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if page.name in SERVERS:
        request.getfixturevalue(SERVERS[page.name])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    # As a module of its own, so that classes defined in it can be found again by name.
    namespace: dict[str, object] = {"__name__": f"page_{page.stem.replace('-', '_')}"}
    module = type(sys)(str(namespace["__name__"]))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in blocks(page):
        first = block.text.partition("\n")[0]
        if named := _FILE.match(first):
            path = tmp_path / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        if block.language == "python":
            code = compile("\n" * block.line + block.text, str(page), "exec")
            with contextlib.redirect_stdout(io.StringIO()):
                exec(code, module.__dict__)
        elif block.language == "console":
            for command, code_expected, output in commands(block.text):
                check(page, block.line, command, code_expected, output, tmp_path)


def commands(text: str) -> Iterator[tuple[str, int, str]]:
    """The commands of a shell session, with their exit codes and what they print."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        while command.endswith("\\"):
            more, _, output = output.partition("\n")
            command = command[:-1] + more.strip()
        expected = re.search(r"\s+# exit (\d+)$", command)
        yield re.sub(r"\s+# exit \d+$", "", command), int(expected[1]) if expected else 0, output.strip()


def check(page: Path, line: int, command: str, code: int, output: str, folder: Path) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "120",
        "NO_COLOR": "1",
    }
    if not entry_points(group="pytest11", name="dalsegno"):  # a checkout that is not installed
        environment["PYTEST_PLUGINS"] = "dalsegno.testing.plugin"
    command = re.sub(r"^dalsegno\b", f'"{sys.executable}" -m dalsegno', command)
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    where = f"{page.name}:{line}: $ {command}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == code, f"exit {done.returncode}, not {code}: {where}"
    if output:
        pattern = re.sub(r"\[", "[[]", output).replace("?", "[?]").replace("*", "[*]").replace("…", "*")
        printed = "\n".join(text.rstrip() for text in (done.stdout + done.stderr).strip().splitlines())
        assert fnmatch.fnmatchcase(printed, pattern), f"printed something else: {where}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_pages_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_every_command_has_its_place_in_the_docs() -> None:
    from dalsegno.cli import COMMANDS

    written = "\n".join(page.read_text() for page in PAGES)
    for command in COMMANDS:
        assert f"dalsegno {command}" in written, f"no page shows `dalsegno {command}`"
