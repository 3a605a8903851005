"""docs/durability.md is what comes out of `python -m benchmarks.durability`, and that comes out again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from dalsegno.testing.crash_kit.tracing import why_not

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "durability.md"
TEMPLATE = ROOT / "benchmarks" / "durability_template.md"
NO_TRACING = why_not()

pytestmark = pytest.mark.skipif(not TEMPLATE.exists(), reason="the benchmarks are not part of the package")
traced = pytest.mark.skipif(NO_TRACING is not None, reason=f"no process can be traced: {NO_TRACING}")

Line = Sequence[str]


def tables(page: str) -> list[list[Line]]:
    """The rows of each table, without its head."""
    found: list[list[Line]] = []
    lines = page.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("|") and set(line) <= set("|-: "):
            found.append([])
        elif line.startswith("|") and number and lines[number - 1].startswith("|"):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def count(text: str) -> int:
    return int(text.replace(",", ""))


def assert_nothing_is_wrong(page: str) -> None:
    *_, runs, operations = tables(page)
    for what, profile, _, ended, resumed, *wrong, _, taken in runs:
        assert count(ended) > 0 < count(resumed), what
        assert wrong == ["0"] * 5, what
        assert taken == "0" or (profile == "`fast`" and "power" in what)
    for what, _, times, *_, otherwise in operations:
        assert count(times) > 0, what
        assert otherwise == "0", what


def measured(folder: Path, *arguments: str) -> str:
    """The page as the command writes it."""
    page = folder / "durability.md"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.durability", "--write", str(page), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    return page.read_text()


def test_the_page_says_the_promises_of_the_template_and_nothing_went_wrong() -> None:
    page = PAGE.read_text()
    for part in TEMPLATE.read_text().split("<!--")[0], TEMPLATE.read_text().rpartition("-->")[2]:
        assert part in page
    assert_nothing_is_wrong(page)


def test_the_page_has_the_figures_that_were_set() -> None:
    *_, runs, _ = tables(PAGE.read_text())
    ended = {(what, profile): count(cells[1]) for what, profile, *cells in runs}
    for profile in ("`durable`", "`fast`"):
        cuts = ended["the power cut", profile] + ended["the power cut, and cut again", profile]
        assert cuts >= 2000
        assert ended["killed at random moments", profile] >= 1000
        assert ended["killed before and halfway through every write", profile] > 300


@traced
def test_a_little_of_each_comes_out_like_the_page(tmp_path: Path) -> None:
    page = measured(tmp_path, "--scale", "0.005")
    assert_nothing_is_wrong(page)
    titles = [[line[:3] for line in table] for table in tables(page)[:-1]]
    assert titles == [[line[:3] for line in table] for table in tables(PAGE.read_text())[:-1]]


@traced
@pytest.mark.torture
def test_all_of_it_comes_out_like_the_page(tmp_path: Path) -> None:
    assert_nothing_is_wrong(measured(tmp_path, "--scale", os.environ.get("DALSEGNO_TORTURE", "1")))
