"""Each example runs offline with one command, and prints what its docstring says; its certificate needs no waiver."""

from __future__ import annotations

import fnmatch
import importlib.util
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from dalsegno.graphs.patterns.catalog import catalog

FOLDER = Path(__file__).parents[2] / "examples" / "patterns"
EXAMPLES = [FOLDER / f"{name}.py" for name in catalog()]


@pytest.fixture(autouse=True)
def _their_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python does for a script: its folder comes first."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "stage", raising=False)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_prints_what_it_says(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(file)])
    runpy.run_path(str(file), run_name="__main__")
    printed = "\n".join(line.rstrip() for line in capsys.readouterr().out.strip().splitlines())
    wanted = said(file)
    pattern = re.sub(r"\[", "[[]", wanted).replace("?", "[?]").replace("*", "[*]").replace("…", "*")
    assert fnmatch.fnmatchcase(printed, pattern), f"{file.name} printed\n{printed}\nand says\n{wanted}"


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_is_certified_without_findings(file: Path) -> None:
    report = loaded(file).flow(None).validate()
    assert report.findings == (), str(report)
    assert report.certificate is not None


def said(file: Path) -> str:
    """What stands below the command in the docstring."""
    doc = loaded(file).__doc__ or ""
    command = f"    $ python examples/patterns/{file.name}\n"
    assert command in doc, f"{file.name} says how it is run: {command.strip()}"
    below = doc.partition(command)[2]
    return "\n".join(line.removeprefix("    ").rstrip() for line in below.strip("\n").splitlines()).strip()


def loaded(file: Path) -> Any:
    """The example as a module, without running it."""
    spec = importlib.util.spec_from_file_location(f"example_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
