"""What people look at: the picture of a workflow, of a run, and the page that follows it, in a real browser."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TypedDict
from xml.etree import ElementTree

import pytest

from dalsegno import END, START, Workflow
from dalsegno.graphs.loading import LoadedTarget
from dalsegno.service.pages import Pages
from dalsegno.service.service import Service
from tests.service.conftest import TOKEN, Served
from tests.viz.browser import Browser, chromium


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests of this file."""
    found = chromium()
    if found is None:
        warnings.warn("No Chromium is installed: nobody looks at the page.", stacklevel=1)
        pytest.skip("no Chromium: apt-get install chromium")
    made = Browser(found, tmp_path_factory.mktemp("chromium"))
    yield made
    made.close()


def test_a_workflow_and_a_run_of_it_are_drawn(service: Served) -> None:
    run_id = service.start(topic="drawn")["run_id"]
    service.ended(run_id)
    for path, words in (
        ("workflows/article", "every run ends within 3 supersteps"),
        (f"runs/{run_id}", "used 3 supersteps"),
    ):
        got = service.client.get(f"/v1/{path}/picture")
        assert (got.status_code, got.headers["content-type"]) == (200, "image/svg+xml")
        assert "sandbox" in got.headers["content-security-policy"]
        ElementTree.fromstring(got.text)
        assert words in got.text


def test_what_is_drawn_of_a_run_holds_no_secret(service: Served) -> None:
    run_id = service.start(topic="boom", input={"key": "s3cr3t-value"})["run_id"]
    service.ended(run_id, "failed")
    for what in ("picture", "page", "live.js", "events"):
        got = service.client.get(f"/v1/runs/{run_id}/{what}")
        assert got.status_code == 200
        assert "s3cr3t" not in got.text
    for path in ("/v1/runs", "/metrics", f"/v1/runs/{run_id}"):
        assert "s3cr3t" not in service.client.get(path).text
    assert "s3cr3t" not in service.log.read_text()
    assert TOKEN not in service.log.read_text()


def test_a_page_follows_a_run_to_its_end(service: Served, browser: Browser) -> None:
    (service.folder / "hold page").touch()
    run_id = service.start(topic="page it")["run_id"]
    service.ended(run_id, "running")
    browser._call("Network.setExtraHTTPHeaders", headers={"Authorization": f"Bearer {TOKEN}"})
    browser._call("Page.navigate", url=f"{service.address}/v1/runs/{run_id}/page")
    browser.wait("document.documentElement.dataset.ready === 'yes'")
    assert "running" in browser.run("document.getElementById('caption').textContent")
    (service.folder / "hold page").unlink()
    browser.wait("document.getElementById('caption').textContent.includes('completed')")
    assert "publish" in browser.run("document.getElementById('score').textContent")
    told = [said for said in browser.complaints() if not said.startswith(f"asked for {service.address}")]
    assert told == []


def test_the_page_of_a_run_that_has_ended_asks_for_nothing_more(service: Served, browser: Browser) -> None:
    run_id = service.start(topic="ended")["run_id"]
    service.ended(run_id)
    assert '"live":null' in service.client.get(f"/v1/runs/{run_id}/page").text


def test_the_page_of_a_run_that_was_given_up_asks_for_nothing_more(service: Served) -> None:
    run_id = service.start("asking", topic="given up", thread="given up page")["run_id"]
    service.ended(run_id, "interrupted")
    assert '"live":null' not in service.client.get(f"/v1/runs/{run_id}/page").text
    service.start("asking", topic="another", thread="given up page", abandon=True)
    assert '"live":null' in service.client.get(f"/v1/runs/{run_id}/page").text


class Draft(TypedDict, total=False):
    topic: str


def nothing(state: Draft) -> Draft:
    return {}


def test_what_folds_by_itself_can_be_unfolded_on_a_served_page(tmp_path: Path) -> None:
    stages = Workflow("stages", Draft)
    names = [f"stage {number}" for number in range(16)]
    for name in names:
        stage = Workflow(name, Draft)
        stage.add_sequence([(f"step {step}", nothing) for step in range(10)]).add_edge(START, "step 0")
        stages.add_node(name, stage.add_edge("step 9", END))
    for before, after in pairwise([START, *names, END]):
        stages.add_edge(before, after)
    service = Service([LoadedTarget(stages, "app.py:stages")], tmp_path / "runs.db")
    pages = Pages(service)
    try:
        run = service.runner("stages").run({"topic": "rain"})
        record = service.run(run.run_id)
        assert re.search(r'"shut":\["c\d+"', pages.page(record))
        assert "step 9" in pages.page(record)
        assert '"shut":["c' not in pages.news(record)
    finally:
        pages.close()
        service.close()
