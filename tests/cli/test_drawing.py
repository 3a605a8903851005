"""`draw` and `show`: on the terminal, as a page, against another, and while a run goes on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dalsegno import Runner
from dalsegno.checkpoints.requests import Request, Requests
from dalsegno.graphs.loading import load_target
from dalsegno.runtime.queueing import enqueue

ROOT = Path(__file__).parents[2]

SECRETIVE = """
from typing import Annotated, TypedDict

from pydantic import BaseModel, SecretStr

from dalsegno import END, START, Workflow
from dalsegno.nodes.secrets import Secret


class Account(BaseModel):
    user: str
    password: SecretStr


class State(TypedDict, total=False):
    topic: str
    token: Annotated[str, Secret]
    key: SecretStr
    account: Account


def sign_in(state: State):
    return {
        "token": "tok-hunter2",
        "key": SecretStr("key-hunter2"),
        "account": Account(user="ada", password=SecretStr("pass-hunter2")),
    }


def fail(state: State):
    raise ValueError(f"refused: {state['token']} and {state['key'].get_secret_value()}")


flow = Workflow("secretive", State)
flow.add_node(sign_in).add_node(fail).add_edge(START, "sign_in").add_edge("sign_in", "fail").add_edge("fail", END)
"""

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


def test_without_a_file_the_graph_is_drawn_in_characters(dalsegno: Any) -> None:
    got = dalsegno("draw", "app.py:flow")
    assert got.code == 0
    assert got.out.startswith("article\nevery run ends within 8 supersteps\n\n● START\n   → write\n▢ write ")
    assert "   ↺ again ≤ 3 → write  ──╯\n" in got.out
    assert got.out.endswith("◎ END\n")


def test_a_run_is_drawn_in_characters_too(dalsegno: Any) -> None:
    dalsegno("run", "app.py:flow", "-i", '{"topic": "rain"}', "--thread", "t1")
    got = dalsegno("draw", "app.py:flow", "--thread", "t1")
    assert "again 2/3" in got.out
    assert "proved 8 · used 6 supersteps" in got.out


@pytest.mark.parametrize(("target", "topic"), [("app.py:asking", "rain"), ("app.py:flow", "boom")])
def test_a_picture_counts_the_supersteps_that_the_run_has_told(
    dalsegno: Any, folder: Path, target: str, topic: str
) -> None:
    ran = dalsegno("run", target, "-i", json.dumps({"topic": topic}), "--thread", "t1")
    (used,) = re.findall(r"used \d+ supersteps?", ran.err + ran.out)
    assert used in dalsegno("draw", target, "--thread", "t1").out
    assert dalsegno("draw", target, "--thread", "t1", "-o", "run.svg").code == 0
    assert used in (folder / "run.svg").read_text()


def test_show_draws_the_run_without_its_target(dalsegno: Any, folder: Path) -> None:
    dalsegno("run", "app.py:flow", "-i", '{"topic": "boom"}', "--thread", "t1")
    (folder / "app.py").unlink()
    got = dalsegno("show", "t1")
    assert got.code == 0
    assert "▢ review  ✕ failed" in got.out
    assert "    ValueError: no such topic: boom" in got.out
    timeline = [line.rstrip() for line in got.out.splitlines() if re.match(r"(write|review)  +[✓✕·]", line)]
    assert timeline == ["write   ✓ ·", "review  · ✕"]


def test_a_page_holds_the_run_with_its_states(dalsegno: Any, folder: Path) -> None:
    dalsegno("run", "app.py:flow", "-i", '{"topic": "rain"}', "--thread", "t1")
    got = dalsegno("draw", "app.py:flow", "--thread", "t1", "-o", "run.html")
    assert got.code == 0
    data = _data(folder / "run.html")
    assert [frame["now"] for frame in data["run"]["frames"]] == [["n1"], ["n2"]] * 3
    states = data["run"]["states"]
    assert states[-1]["s"] == 6
    assert {"draft": [0, 0, ["rain"]], "tries": [0, 0, ["1"]]}.items() <= states[2]["v"].items()
    assert "branch:to" not in (folder / "run.html").read_text()


def _data(page: Path) -> Any:
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL
    )
    assert found
    return json.loads(found[1])


@pytest.mark.parametrize("suffix", ["html", "svg", "dot", "mmd", "txt", "pdf", "png"])
def test_secrets_are_masked_in_every_format(dalsegno: Any, folder: Path, suffix: str) -> None:
    (folder / "hidden.py").write_text(SECRETIVE)
    dalsegno("run", "hidden.py:flow", "-i", '{"topic": "rain"}', "--thread", "t1")
    assert dalsegno("draw", "hidden.py:flow", "--thread", "t1", "-o", f"run.{suffix}").code == 0
    drawn = (folder / f"run.{suffix}").read_bytes()
    assert b"hunter2" not in drawn
    if suffix == "html":
        assert b"**********" in drawn
        assert b"ada" in drawn
    if suffix not in ("pdf", "png"):
        assert b"refused" in drawn


def test_two_versions_of_a_graph_are_drawn_as_their_difference(dalsegno: Any, folder: Path) -> None:
    newer = (
        (folder / "app.py")
        .read_text()
        .replace("made.add_node(write)", "made.add_node(write).add_node(total)", 1)
    )
    newer = newer.replace(
        '.add_edge("write", "review")', '.add_edge("write", "total").add_edge("total", "review")', 1
    )
    (folder / "newer.py").write_text("def total(state): ...\n" + newer)
    got = dalsegno("draw", "newer.py:flow", "--against", "app.py:flow", "-o", "difference.svg")
    assert got.code == 0, got.err
    drawn = (folder / "difference.svg").read_text()
    assert "+ 3 added · − 1 removed" in drawn
    assert 'class="node function change-added"' in drawn
    assert 'class="edge static change-removed"' in drawn


def test_two_runs_are_drawn_as_their_difference(dalsegno: Any, folder: Path) -> None:
    dalsegno("run", "app.py:flow", "-i", '{"topic": "rain"}', "--thread", "good")
    dalsegno("run", "app.py:flow", "-i", '{"topic": "boom"}', "--thread", "bad")
    first = json.loads(dalsegno("show", "good", "--json").out)["run_id"]
    got = dalsegno("draw", "app.py:flow", "--thread", "bad", "--against", first[:8], "-o", "two.svg")
    assert got.code == 0
    drawn = (folder / "two.svg").read_text()
    assert "(completed) → run" in drawn
    assert "≠ ✓ ×3 → ✕" in drawn
    assert "− again 2/3 → 0/3" in drawn


def test_a_run_that_is_compared_with_one_of_another_graph_is_told_as_that(
    dalsegno: Any, folder: Path
) -> None:
    dalsegno("run", "app.py:flow", "-i", '{"topic": "rain"}', "--thread", "old")
    text = (folder / "app.py").read_text()
    text = text.replace("made.add_node(write)", 'made.add_node(write).add_node("more", ask)', 1)
    text = text.replace(
        '.add_edge("write", "review")', '.add_edge("write", "more").add_edge("more", "review")'
    )
    (folder / "newer.py").write_text("def ask(state): ...\n" + text)
    dalsegno("run", "newer.py:flow", "-i", '{"topic": "rain"}', "--thread", "new")
    got = dalsegno("draw", "newer.py:flow", "--thread", "new", "--against", "old")
    assert got.code == 0, got.err
    assert "was executed in another graph (version" in got.out
    assert "another graph" not in dalsegno("draw", "newer.py:flow", "--thread", "new", "--against", "new").out


def test_a_run_of_a_graph_that_has_changed_is_drawn_on_the_old_one(
    dalsegno: Any, folder: Path, started: Callable[..., subprocess.Popen[str]]
) -> None:
    dalsegno("run", "app.py:flow", "-i", '{"topic": "rain"}', "--thread", "t1", "--db", "runs.db")
    text = (folder / "app.py").read_text()
    text = text.replace("made.add_node(write)", 'made.add_node(write).add_node("more", ask)', 1)
    text = text.replace(
        '.add_edge("write", "review")', '.add_edge("write", "more").add_edge("more", "review")'
    )
    (folder / "app.py").write_text("def ask(state): ...\n" + text)
    for suffix in ("svg", "html"):
        drawing = started("draw", "app.py:flow", "--thread", "t1", "-o", f"old.{suffix}", "--db", "runs.db")
        assert drawing.wait(60) == 0
        drawn = (folder / f"old.{suffix}").read_text()
        assert "The graph has changed since this run" in drawn
        assert ">more<" not in drawn
        assert "again 2/3" in drawn


def test_a_subworkflow_folds_when_asked(dalsegno: Any, folder: Path) -> None:
    assert dalsegno("draw", "app.py:outer", "-o", "folded.svg", "--fold", "article").code == 0
    assert "2 nodes" in (folder / "folded.svg").read_text()
    assert dalsegno("draw", "app.py:outer", "-o", "open.svg").code == 0
    assert "article/write" in (folder / "open.svg").read_text()
    got = dalsegno("draw", "app.py:outer", "-o", "x.svg", "--fold", "artcle")
    assert got.code != 0
    assert "did you mean `article`?" in got.err


@pytest.fixture
def started(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Commands in processes of their own, ended with the test."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "dalsegno", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _until(true: Callable[[], Any], what: str, limit: float = 60) -> None:
    until = time.monotonic() + limit
    while not true():
        assert time.monotonic() < until, what
        time.sleep(0.02)


def test_a_page_that_is_watched_is_told_what_is_new(
    folder: Path, started: Callable[..., subprocess.Popen[str]]
) -> None:
    (folder / "slow.py").write_text(SLOW)
    run = started("run", "slow.py:flow", "-i", "{}", "--thread", "t1", "--db", "runs.db", "-q")
    _until((folder / "runs.db").exists, "the run begins")
    watching = started(
        "draw", "slow.py:flow", "--thread", "t1", "--db", "runs.db", "--watch", "-o", "live.html"
    )
    beside = folder / "live.live.js"

    def told() -> str:
        return beside.read_text() if beside.exists() else ""

    _until(lambda: '"running","▶ running"' in told(), "the page is told what runs")
    _until((folder / "live.html").exists, "the page is there")
    page = (folder / "live.html").read_text()
    assert "'strict-dynamic'" in page
    assert _data(folder / "live.html")["live"] == "live.live.js"
    (folder / "go").touch()
    # Before the run's process is waited for: a page that is open has but seconds to read it.
    _until(lambda: '"done":true' in told(), "the page is told of the end")
    assert run.wait(60) == 0
    out, _ = watching.communicate(timeout=60)
    assert watching.returncode == 0, out
    assert not beside.exists()
    final = (folder / "live.html").read_text()
    assert "'strict-dynamic'" not in final
    assert _data(folder / "live.html")["live"] is None
    assert "✓ completed" in final


def test_a_picture_that_is_watched_is_drawn_anew(
    folder: Path, started: Callable[..., subprocess.Popen[str]]
) -> None:
    (folder / "slow.py").write_text(SLOW)
    run = started("run", "slow.py:flow", "-i", "{}", "--thread", "t1", "--db", "runs.db", "-q")
    _until((folder / "runs.db").exists, "the run begins")
    watching = started(
        "draw", "slow.py:flow", "--thread", "t1", "--db", "runs.db", "--watch", "-o", "live.svg"
    )
    drawn = folder / "live.svg"
    _until(lambda: drawn.exists() and "▶ running" in drawn.read_text(), "the run is drawn while it goes on")
    (folder / "go").touch()
    assert run.wait(60) == 0
    assert watching.wait(60) == 0
    assert "✓ completed" in drawn.read_text()


@pytest.mark.parametrize("suffix", ["html", "svg"])
def test_what_cannot_be_written_while_a_run_is_watched_is_told(
    folder: Path, started: Callable[..., subprocess.Popen[str]], suffix: str
) -> None:
    (folder / "slow.py").write_text(SLOW)
    (folder / "go").touch()
    assert started("run", "slow.py:flow", "-i", "{}", "--thread", "t1", "--db", "runs.db", "-q").wait(60) == 0
    (folder / f"taken.{suffix}").mkdir()
    (folder / "page.live.js").mkdir()
    for name in (f"taken.{suffix}", f"gone/run.{suffix}", *(["page.html"] if suffix == "html" else [])):
        watching = started("draw", "slow.py:flow", "--thread", "t1", "--db", "runs.db", "--watch", "-o", name)
        out, error = watching.communicate(timeout=60)
        assert watching.returncode == 2
        told = "page.live.js" if name == "page.html" else name
        assert f"Cannot write `{told}`" in out + (error or "")
        assert "Traceback" not in out + (error or "")
    assert not [file for file in folder.iterdir() if "part" in file.name]


def test_a_run_is_watched_from_the_queue_and_over_a_process_that_lets_go_of_it(
    folder: Path, started: Callable[..., subprocess.Popen[str]]
) -> None:
    (folder / "slow.py").write_text(SLOW)
    target = load_target(str(folder / "slow.py:flow"))
    with Runner(target.graph, db=folder / "runs.db", target=target.target) as runner:
        run_id = enqueue(runner, {}, "t1")
        of_a_service = Requests(runner.ledger, "default")
        of_a_service.add(
            Request(run_id=run_id, thread="t1", workflow="slow", client="c", digest="d", due=time.time())
        )
        drawn = folder / "live.svg"
        watching = started(
            "draw", "slow.py:flow", "--thread", "t1", "--db", "runs.db", "--watch", "-o", "live.svg"
        )
        _until(drawn.exists, "what is queued is drawn")
        lease = runner.ledger.acquire("t1", run_id)
        _until(lambda: "▶ running" in drawn.read_text(), "it has begun")
        runner.ledger.finish(lease, "stopped")
        _until(lambda: "○ stopped" in drawn.read_text(), "it is let go of")
        (folder / "go").touch()
        assert runner.resume("t1").status == "completed"
        out, _ = watching.communicate(timeout=60)
    assert watching.returncode == 0, out
    assert "✓ completed" in drawn.read_text()


def test_a_run_that_was_watched_is_told_as_json(dalsegno: Any, folder: Path) -> None:
    dalsegno("run", "app.py:flow", "-i", '{"topic": "rain"}', "--thread", "t1")
    got = dalsegno("draw", "app.py:flow", "--thread", "t1", "--watch", "-o", "seen.svg", "--json")
    assert got.code == 0
    told = json.loads(got.out)
    assert (told["file"], told["workflow"]) == ("seen.svg", "article")
    assert told["run_id"] in dalsegno("show", "t1", "--json").out
    assert "✓ completed" in (folder / "seen.svg").read_text()
