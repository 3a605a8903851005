"""The page, in a real browser: it replays a run, answers to keys, and asks nobody for anything."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dalsegno.graphs.model import END, START, EdgeSpec, NodeSpec, WorkflowSpec
from dalsegno.viz.extract import diagram
from dalsegno.viz.folding import shut
from dalsegno.viz.overlay import Execution, NodeRun, RunView, StateAt, Used
from dalsegno.viz.page import news, page
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


@pytest.fixture
def seen(browser: Browser, tmp_path: Path) -> Any:
    """Opens the page of a workflow and a run; nothing on it may fail, be refused, or ask for anything."""

    def opened(spec: WorkflowSpec, run: RunView | None = None, **options: Any) -> Browser:
        file = tmp_path / "page.html"
        file.write_text(page(diagram(spec), run), encoding="utf-8")
        browser.open(file, **options)
        return browser

    yield opened
    assert browser.complaints() == []


@pytest.fixture
def run() -> RunView:
    """A run of the article: two rounds, then good; the state grows."""

    def done(node: str, step: int, to: str, label: str | None = None) -> Execution:
        return Execution(node, step, seconds=0.1, targets=((to, label),), child=f"{node}#{step}")

    return RunView(
        run_id="3f2a",
        thread="t1",
        workflow="article",
        status="completed",
        nodes={
            "plan": NodeRun(1, "done", 0.1),
            "write": NodeRun(2, "done", 0.2),
            "review": NodeRun(2, "done", 0.2),
        },
        edges={
            (START, "plan", None): 1,
            ("plan", "write", None): 1,
            ("write", "review", None): 2,
            ("review", "write", "again"): 1,
            ("review", END, "good"): 1,
        },
        supersteps=5,
        proved=10,
        executions=(
            done("plan", 1, "write"),
            done("write", 2, "review"),
            done("review", 3, "write", "again"),
            done("write", 4, "review"),
            done("review", 5, END, "good"),
        ),
        states=(
            StateAt(0, {"topic": ("rain",)}),
            StateAt(1, {"topic": ("rain",), "plan": ("a", "b")}),
            StateAt(2, {"topic": ("rain",), "plan": ("a", "b"), "draft": ("one",)}),
            StateAt(4, {"topic": ("rain",), "plan": ("a", "b"), "draft": ("two",)}),
            StateAt(5, {"topic": ("rain",), "draft": ("two",)}),
        ),
        used=(Used("supersteps", 5, 10), Used("seconds", 0.5)),
    )


def _text(browser: Browser, node: str) -> str:
    return str(
        browser.run(f"[...document.querySelectorAll('{node} text')].map(t => t.textContent).join('|')")
    )


def _at(spec: WorkflowSpec, name: str) -> str:
    number = [n.id for n in diagram(spec).nodes].index(name)
    return f'[data-id="n{number}"]'


def _slide(browser: Browser, to: int) -> None:
    browser.run(
        f"(s => {{ s.value = {to}; s.dispatchEvent(new Event('input')); }})(document.getElementById('slider'))"
    )


def _focused(browser: Browser) -> str:
    return str(
        browser.run("document.activeElement.querySelector('title')?.textContent || document.activeElement.id")
    )


def test_the_slider_replays_the_run(seen: Any, article: WorkflowSpec, run: RunView) -> None:
    page = seen(article, run)
    write, review = _at(article, "write"), _at(article, "review")
    assert _text(page, write) == "write|✓ ×2 · 200 ms"
    _slide(page, 2)
    assert _text(page, write) == "write|✓ 100 ms"
    assert "untaken" in page.run(f"document.querySelector('{review}').getAttribute('class')")
    assert page.run("document.getElementById('step').textContent") == "superstep 2 of 5"
    _slide(page, 3)
    assert page.run("[...document.querySelectorAll('.loop .label')].map(t => t.textContent)") == ["again 1/3"]
    _slide(page, 0)
    assert page.run("document.querySelectorAll('.node.done').length") == 0
    assert page.run("[...document.querySelectorAll('.loop .label')].map(t => t.textContent)") == ["again 0/3"]
    assert _text(page, write).startswith("write|agent · ≤ 3 tries")


def test_the_last_frame_is_the_picture_of_the_run(seen: Any, article: WorkflowSpec, run: RunView) -> None:
    drawn = "[...document.querySelectorAll('#graph [data-id]')].map(g => [g.getAttribute('class'), g.textContent])"
    page = seen(article, run)
    _slide(page, 1)
    _slide(page, 5)
    replayed = page.run(drawn)
    plain = re.sub(r"<script>.*?</script>\s*</body>", "</body>", _page(article, run), flags=re.DOTALL)
    painted = page.run(
        f"(d => {drawn.replace('document', 'd')})(new DOMParser().parseFromString({json.dumps(plain)}, 'text/html'))"
    )
    assert [(set(c.split()), t) for c, t in replayed] == [(set(c.split()), t) for c, t in painted]


def _page(spec: WorkflowSpec, run: RunView | None) -> str:
    return page(diagram(spec), run)


def test_the_state_shows_what_changed(seen: Any, article: WorkflowSpec, run: RunView) -> None:
    page = seen(article, run)
    _slide(page, 1)
    assert page.run("[...document.querySelectorAll('#state ins')].map(e => e.textContent)") == ["a", "b"]
    _slide(page, 4)
    assert page.run("document.getElementById('state-at').textContent") == "after superstep 4"
    changed = (
        "[...document.querySelectorAll('#state ins, #state del')].map(e => e.tagName + ' ' + e.textContent)"
    )
    assert page.run(changed) == ["DEL one", "INS two"]
    assert page.run("getComputedStyle(document.querySelector('#state ins'), '::before').content") == '"+ "'
    _slide(page, 5)
    assert page.run("[...document.querySelectorAll('#state h3')].map(e => e.textContent)") == [
        "topic · as before", "draft · as before", "plan − removed",
    ]  # fmt: skip
    page.click("#whole")
    assert page.run("document.querySelector('#state pre').textContent") == "rain"


def test_a_key_may_have_any_name_of_javascript(seen: Any, article: WorkflowSpec, run: RunView) -> None:
    names = ("constructor", "toString", "hasOwnProperty", "valueOf")
    states = [dict.fromkeys(names, ("one",)), dict.fromkeys(names, ("one",)) | {"valueOf": ("two",)}]
    page = seen(article, replace(run, states=tuple(StateAt(i, s) for i, s in enumerate(states))))
    _slide(page, 5)
    assert page.run("[...document.querySelectorAll('#state h3')].map(e => e.textContent)") == [
        "valueOf ≠", "constructor · as before", "toString · as before", "hasOwnProperty · as before",
    ]  # fmt: skip


def test_a_state_that_is_not_known_is_not_made_up(seen: Any, article: WorkflowSpec, run: RunView) -> None:
    page = seen(article, replace(run, states=run.states[3:]))
    _slide(page, 2)
    assert page.run("document.getElementById('state-text').textContent") == (
        "The states that are known begin after superstep 4."
    )
    assert page.run("document.getElementById('state-at').textContent") == ""
    _slide(page, 4)
    assert page.run("document.getElementById('state-at').textContent") == "after superstep 4"


def test_before_a_fork_goes_on_its_state_is_that_of_its_checkpoint(
    seen: Any, article: WorkflowSpec, run: RunView
) -> None:
    page = seen(article, replace(run, executions=run.executions[2:], states=run.states[2:]))
    _slide(page, 0)
    assert page.run("document.getElementById('state-at').textContent") == "after superstep 2"


def test_playing_goes_to_the_end_and_stops(seen: Any, article: WorkflowSpec, run: RunView) -> None:
    page = seen(article, run)
    page.press("Space")
    assert page.run("document.getElementById('play').textContent") == "Pause"
    page.wait(
        "document.getElementById('slider').value === '5' && document.getElementById('play').textContent === 'Play'"
    )
    page.press(",")
    assert page.run("document.getElementById('slider').value") == "4"
    page.press(".")
    assert page.run("document.getElementById('slider').value") == "5"


def test_search_finds_marks_and_goes_there(seen: Any, article: WorkflowSpec) -> None:
    page = seen(article)
    page.press("/")
    page.type("rev")
    assert page.run("document.getElementById('found').textContent") == "1"
    assert page.run("[...document.querySelectorAll('.found > title')].map(t => t.textContent)") == ["review"]
    page.press("Enter")
    assert page.run("document.getElementById('about-name').textContent") == "review"
    page.press("Escape")
    assert page.run("document.querySelectorAll('.found').length") == 0
    page.press("/")
    page.type("no such node")
    assert page.run("document.getElementById('live').textContent") == "0 nodes found."


def test_arrows_follow_the_edges(seen: Any, article: WorkflowSpec) -> None:
    page = seen(article)
    page.run("document.querySelector('.node[tabindex=\"0\"]').focus()")
    walked = [_focused(page)]
    for key in ["ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight", "ArrowUp"]:
        page.press(key)
        walked.append(_focused(page))
    assert walked == ["START", "plan", "write", "review", "END", "write", "plan"]
    page.press("Enter")
    assert page.run("document.getElementById('about-name').textContent") == "plan"
    assert page.run("document.querySelectorAll('.node[tabindex=\"0\"]').length") == 1


def test_hovering_links_the_graph_and_the_timeline(seen: Any, article: WorkflowSpec, run: RunView) -> None:
    page = seen(article, run)
    page.mouse("mouseMoved", *page.middle('#score [data-col="1"] .card'))
    assert page.run("document.querySelector('.node.near > title').textContent") == "write"
    page.mouse("mouseMoved", *page.middle(f"#graph {_at(article, 'review')} .card"))
    assert page.run("[...document.querySelectorAll('#score .near')].map(g => g.dataset.col)") == ["2", "4"]
    assert page.run("document.querySelectorAll('.edge.near').length") == 4


def test_the_names_of_a_long_timeline_stay_in_sight(seen: Any, article: WorkflowSpec, run: RunView) -> None:
    executions = tuple(Execution(("write", "review")[i % 2], i + 1) for i in range(400))
    page = seen(article, replace(run, executions=executions))
    at = "document.querySelector('%s').getBoundingClientRect().x"
    left = f"{at % '#score .names text'} - {at % '#score'}"
    assert page.run("document.getElementById('score').scrollLeft") > 1000
    assert page.run(left) == pytest.approx(0, abs=3)
    page.run("document.getElementById('score').scrollLeft = 700")
    page.wait(f"Math.abs({left}) < 4")  # a letter begins a little beside its place


def test_a_note_of_the_timeline_goes_to_its_time(seen: Any, article: WorkflowSpec, run: RunView) -> None:
    page = seen(article, run)
    page.click('#score [data-col="1"] .card')
    assert page.run("document.getElementById('slider').value") == "2"
    assert page.run("document.getElementById('about-name').textContent") == "write"
    assert page.run("document.querySelectorAll('#score .later').length") == 3


def test_what_folds_by_itself_is_shut_at_first_and_unfolds(
    browser: Browser, magazine: WorkflowSpec, tmp_path: Path
) -> None:
    picture = shut(diagram(magazine), most=3)
    (tmp_path / "page.html").write_text(page(picture), encoding="utf-8")
    browser.open(tmp_path / "page.html")
    hidden = (
        "[...document.querySelectorAll('.node')].filter(g => getComputedStyle(g).display === 'none').length"
    )
    assert browser.run(hidden) == 6
    browser.click(".fold .card")
    assert browser.run(hidden) == 0
    assert browser.run("document.querySelector('.fold').getAttribute('aria-expanded')") == "true"
    assert not browser.complaints()


def test_a_subworkflow_folds_and_unfolds(seen: Any, magazine: WorkflowSpec) -> None:
    page = seen(magazine)
    hidden = (
        "[...document.querySelectorAll('.node')].filter(g => getComputedStyle(g).display === 'none').length"
    )
    arrows = (
        "[...document.querySelectorAll('.edge')].filter(g => getComputedStyle(g).display !== 'none').length"
    )
    where = "[...document.querySelectorAll('.node.end')].at(-1).getBoundingClientRect().y"
    below = page.run(where)
    assert (page.run(hidden), page.run(arrows)) == (0, 13)
    page.click(".fold .card")
    assert (page.run(hidden), page.run(arrows)) == (6, 6)
    assert page.run("document.querySelector('.fold').getAttribute('aria-expanded')") == "false"
    assert page.run("document.querySelector('.summary:not(.folded)').textContent") == "4 nodes folded"
    assert page.run(where) < below - 50  # what is below moves up
    page.press("f")
    assert page.run(hidden) == 0
    assert page.run(where) == pytest.approx(below, abs=0.5)
    page.press("f")
    page.press("/")
    page.type("escalate")
    page.press("Enter")
    assert page.run(hidden) == 0  # what is looked for is unfolded


def test_wheel_and_drag_and_keys_move_and_zoom(seen: Any, article: WorkflowSpec) -> None:
    page = seen(article)
    view = "document.getElementById('graph').viewBox.baseVal"
    before = page.run(f"[{view}.x, {view}.width]")
    x, y = page.middle("#graph")
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-240)
    page.wait(f"{view}.width < {before[1]}")
    page.mouse("mousePressed", x, y, button="left", clickCount=1)
    page.mouse("mouseMoved", x + 60, y, button="left", buttons=1)
    page.mouse("mouseReleased", x + 60, y, button="left", clickCount=1)
    moved = page.run(f"{view}.x")
    page.press("0")
    assert page.run(f"[{view}.x, {view}.width]") == before
    assert moved != before[0]
    page.press("+")
    assert page.run(f"{view}.width") < before[1]


@pytest.mark.parametrize("dark", [False, True])
def test_light_and_dark_follow_the_system_until_one_is_chosen(
    seen: Any, article: WorkflowSpec, run: RunView, dark: bool
) -> None:
    page = seen(article, run, dark=dark)
    ground = "getComputedStyle(document.body).backgroundColor"
    light, night = "rgb(255, 255, 255)", "rgb(18, 22, 28)"
    assert page.run(ground) == (night if dark else light)
    page.press("t")
    assert page.run(ground) == light
    page.press("t")
    assert page.run(ground) == night
    page.press("t")
    assert page.run(ground) == (night if dark else light)


@pytest.mark.parametrize("width", [320, 390])
def test_on_a_phone_nothing_is_wider_than_the_screen(
    seen: Any, article: WorkflowSpec, run: RunView, width: int
) -> None:
    page = seen(article, run, width=width, height=844)
    assert page.run("document.documentElement.scrollWidth") == width
    step = page.run("document.querySelector('#step').getBoundingClientRect().right")
    assert 0 < step <= width


def test_on_paper_it_is_light_and_without_buttons(seen: Any, article: WorkflowSpec, run: RunView) -> None:
    page = seen(article, run, dark=True)
    page.print_as("print")
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.run("getComputedStyle(document.querySelector('.player')).display") == "none"
    assert page.pdf().startswith(b"%PDF")


def test_a_reader_who_does_not_see_it_gets_names_and_a_table(
    seen: Any, article: WorkflowSpec, run: RunView
) -> None:
    page = seen(article, run)
    names = page.run("[...document.querySelectorAll('#graph .node')].map(g => g.getAttribute('aria-label'))")
    assert "write · agent · ≤ 3 tries · 1 call · ✓ ×2 · 200 ms" in names
    assert page.run("document.querySelector('#graph').getAttribute('aria-label')") == "Graph of article"
    cells = "[...document.querySelectorAll('#table tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    table = page.run(cells)
    assert ["review", "agent", "timeout 30 s", "✓ ×2 · 200 ms"] in table
    assert ["review", "write", "choice", "again 1/3"] in table
    _slide(page, 1)
    assert page.run("document.getElementById('slider').getAttribute('aria-valuetext')") == "superstep 1 of 5"
    for name in page.run("[...document.querySelectorAll('button, input')].map(e => e.getAttribute('aria-label') || "
                         "e.textContent || e.labels[0]?.textContent)"):  # fmt: skip
        assert name


class _Elements(HTMLParser):
    """Tags, attributes and texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))


HOSTILE_STATE = (
    "</script><script>document.title = 'owned'</script>", "<img src=x onerror=\"document.title='owned'\">",
    "\u2028\u2029 ]]> <!-- -->", "${document.title = 'owned'}", "\u202e gnp.exe", "\x00\x1b[31m",
)  # fmt: skip


def _hostile_run(names: Mapping[str, str], spec: WorkflowSpec) -> RunView:
    steps = tuple(Execution(name, i, error=name, status="failed") for i, name in enumerate(names.values(), 1))
    state = StateAt(0, dict.fromkeys((*HOSTILE_STATE, *names.values()), HOSTILE_STATE))
    nodes = {name: NodeRun(1, "failed", error=name) for name in names.values()}
    return RunView(
        HOSTILE_STATE[0], HOSTILE_STATE[1], spec.name, "failed", nodes, error=HOSTILE_STATE[0],
        pending=tuple(names.values()), executions=steps, states=(state,), note=HOSTILE_STATE[1],
    )  # fmt: skip


@pytest.fixture
def hostile_spec(hostile_names: Mapping[str, str]) -> WorkflowSpec:
    names = list(hostile_names.values())
    edges = [EdgeSpec(START, names[0]), EdgeSpec(names[-1], END)]
    edges += [EdgeSpec(a, b, "choice", router="r", label=a) for a, b in pairwise(names)]
    return WorkflowSpec(hostile_names["markup"], nodes={n: NodeSpec(n) for n in names}, edges=tuple(edges))


def test_names_errors_and_states_with_markup_stay_text(
    seen: Any, hostile_names: Mapping[str, str], hostile_spec: WorkflowSpec
) -> None:
    run = _hostile_run(hostile_names, hostile_spec)
    page = seen(hostile_spec, run)
    page.click("#whole")
    _slide(page, 0)
    _slide(page, 3)
    page.run(
        "document.querySelector('.node.function').dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    assert page.run("document.title") == "<script>alert(1)</script>"
    assert page.run("document.querySelectorAll('script').length") == 2
    assert page.run("document.querySelectorAll('img, iframe, object, a[href^=javascript]').length") == 0
    shown = page.run("document.getElementById('state-text').textContent")
    assert "</script><script>document.title = 'owned'</script>" in shown


def test_the_markup_has_only_what_we_wrote(
    hostile_names: Mapping[str, str], hostile_spec: WorkflowSpec
) -> None:
    found = _Elements()
    found.feed(_page(hostile_spec, _hostile_run(hostile_names, hostile_spec)))
    tags = [tag for tag, _ in found.tags]
    assert tags.count("script") == 2
    assert not {"img", "iframe", "object", "embed", "link", "b", "base"} & set(tags)
    for _, attributes in found.tags:
        assert not [
            a for a in attributes if a.startswith("on") or a in ("style", "src", "srcset", "xlink:href")
        ]
        assert (attributes.get("href") or "#").startswith("#")


def test_the_policy_lets_nothing_in(article: WorkflowSpec, run: RunView) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', _page(article, run))
    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules["default-src"] == "'none'"
    assert re.fullmatch(r"'sha256-[\w+/=]+'", rules["script-src"])
    assert re.fullmatch(r"'sha256-[\w+/=]+'", rules["style-src"])
    assert (rules["base-uri"], rules["form-action"]) == ("'none'", "'none'")


def _chain(count: int) -> WorkflowSpec:
    names = [f"step {i}" for i in range(count)]
    edges = [
        EdgeSpec(START, names[0]),
        *(EdgeSpec(a, b) for a, b in pairwise(names)),
        EdgeSpec(names[-1], END),
    ]
    return WorkflowSpec("chain", nodes={n: NodeSpec(n) for n in names}, edges=tuple(edges))


def test_a_page_of_thirty_nodes_is_small() -> None:
    spec = _chain(30)
    assert len(page(diagram(spec)).encode()) < 150_000
    steps = tuple(Execution(f"step {i}", i + 1, targets=((f"step {i + 1}", None),)) for i in range(30))
    run = RunView("r", "t", "chain", "completed", executions=steps, nodes={e.node: NodeRun(1) for e in steps})
    assert len(page(diagram(spec), run).encode()) < 150_000


def test_states_are_written_as_differences() -> None:
    spec = _chain(1)
    log = [f"entry {i}: " + "x" * 2000 for i in range(500)]
    states = tuple(StateAt(i, {"log": tuple(log[:i])}) for i in range(501))
    steps = tuple(Execution("step 0", i + 1) for i in range(500))
    run = RunView("r", "t", "chain", "completed", {"step 0": NodeRun(500)}, executions=steps, states=states)
    assert len(page(diagram(spec), run).encode()) < 2_000_000


@pytest.mark.parametrize(("count", "dark"), [(3, False), (15, True), (60, False), (300, True)])
def test_a_page_of_any_size_shows_its_beginning(seen: Any, count: int, dark: bool) -> None:
    page = seen(_chain(count), dark=dark)
    box = page.run(
        "(b => [b.x, b.y, b.width])(document.querySelector('.node.start').getBoundingClientRect())"
    )
    assert 0 < box[0] < 1280
    assert 0 < box[1] < 900
    assert box[2] > 25  # large enough to be read
    assert page.screenshot().startswith(b"\x89PNG")


def test_an_empty_graph_has_a_page(seen: Any) -> None:
    page = seen(WorkflowSpec("empty"))
    assert page.run("document.querySelectorAll('.node').length") == 2
    assert page.run("document.getElementById('replay').hidden")


@pytest.mark.parametrize("name", ["run", "50% of #1? é:x"])
def test_a_page_follows_a_run_that_goes_on(
    browser: Browser, article: WorkflowSpec, run: RunView, tmp_path: Path, name: str
) -> None:
    picture = diagram(article)
    begun = replace(
        run, status="running", executions=run.executions[:1], states=run.states[:2], edges={}, nodes={}
    )
    (tmp_path / f"{name}.live.js").write_text(news(picture, begun), encoding="utf-8")
    file = tmp_path / f"{name}.html"
    file.write_text(page(picture, begun, live=f"{name}.live.js"), encoding="utf-8")
    browser.open(file)
    assert browser.run("document.getElementById('slider').max") == "1"
    (tmp_path / f"{name}.live.js").write_text(news(picture, run), encoding="utf-8")
    browser.wait("document.getElementById('slider').value === '5'")
    assert _text(browser, _at(article, "write")) == "write|✓ ×2 · 200 ms"
    assert "completed" in browser.run("document.getElementById('caption').textContent")
    assert browser.run("document.querySelectorAll('#score .note').length") == 5
    assert browser.complaints() == []


def test_a_page_that_is_left_alone_is_read_again_for_good(
    browser: Browser, article: WorkflowSpec, run: RunView, tmp_path: Path
) -> None:
    """The watch ends: it writes the page for good and takes the file beside it away."""
    picture = diagram(article)
    begun = replace(run, status="running", executions=run.executions[:1])
    (tmp_path / "run.live.js").write_text(news(picture, begun), encoding="utf-8")
    file = tmp_path / "run.html"
    file.write_text(page(picture, begun, live="run.live.js"), encoding="utf-8")
    browser.open(file)
    file.write_text(page(picture, run), encoding="utf-8")
    (tmp_path / "run.live.js").unlink()
    browser.wait("document.getElementById('slider')?.max === '5'")


SLOW = """
import pathlib, time
from typing import TypedDict

from dalsegno import END, START, Workflow


class State(TypedDict, total=False):
    count: int


def first(state: State):
    return {"count": 1}


def second(state: State):
    until = time.monotonic() + 60
    while not pathlib.Path("go").exists() and time.monotonic() < until:
        time.sleep(0.02)
    return {"count": 2}


flow = Workflow("slow", State)
flow.add_node(first).add_node(second).add_edge(START, "first").add_edge("first", "second").add_edge("second", END)
"""


def _appears(file: Path, writer: subprocess.Popen[bytes]) -> None:
    while not file.exists():
        assert writer.poll() is None
        time.sleep(0.02)


def test_an_open_page_follows_a_real_run_to_its_end(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    common = ["slow.py:flow", "--thread", "t1", "--db", "runs.db"]
    commands = (["run", *common, "-i", "{}", "-q"], ["draw", *common, "--watch", "-o", "live.html"])
    processes = []
    try:
        for command in commands:
            if command[0] == "draw":
                _appears(tmp_path / "runs.db", processes[0])
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "dalsegno", *command],
                    cwd=tmp_path,
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        _appears(tmp_path / "live.html", processes[1])
        browser.open(tmp_path / "live.html")
        browser.wait("document.querySelector('.node.running > title')?.textContent === 'second'")
        (tmp_path / "go").touch()
        browser.wait("document.getElementById('caption')?.textContent.includes('completed')")
        browser.wait("document.querySelectorAll('.node.done').length === 2")
        assert [process.wait(60) for process in processes] == [0, 0]
        assert not (tmp_path / "live.live.js").exists()
    finally:
        for process in processes:
            process.kill()
            process.wait()
