"""The pictures of the README and the docs are those that the tool draws today."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

IMAGES = Path(__file__).parents[2] / "docs" / "images"
AGAIN = "Look at it, then: python docs/images/draw.py"


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    """`docs/images/draw.py`, which is not part of the package."""
    found = importlib.util.spec_from_file_location("docs_images", IMAGES / "draw.py")
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_every_picture_is_the_one_that_is_drawn_today(drawing: ModuleType, tmp_path: Path) -> None:
    drawn = drawing.draw(tmp_path)
    assert {path.name for path in drawn} == {path.name for path in IMAGES.glob("*.svg")}
    for path in drawn:
        kept = (IMAGES / path.name).read_text(encoding="utf-8")
        assert path.read_text(encoding="utf-8") == kept, f"{path.name} has changed. {AGAIN}"


def test_the_screenshot_is_one_of_todays_page(drawing: ModuleType) -> None:
    stamp = re.search(rb"tEXtpage\0([0-9a-f]{64})", (IMAGES / "page.png").read_bytes())
    assert stamp
    assert stamp[1].decode() == drawing.taken_of(drawing.demo_page()), f"The page has changed. {AGAIN}"


def test_every_picture_is_shown_somewhere() -> None:
    root = IMAGES.parents[1]
    shown = "\n".join(
        page.read_text(encoding="utf-8") for page in (root / "README.md", *(root / "docs").glob("*.md"))
    )
    for image in (*IMAGES.glob("*.svg"), *IMAGES.glob("*.png")):
        assert f"images/{image.name})" in shown, image.name
