"""Draws the pictures of the README and the docs: `python docs/images/draw.py`.

`demo-run.json` is what one run of `dalsegno demo` left in its ledger, `loan-run.json` one of a loan of
`examples/domains` that could not be paid out. A test draws everything again and compares; the screenshot of the page
needs a Chromium, and tells which page it was taken of.
"""

from __future__ import annotations

import json
import sys
import tempfile
import zlib
from hashlib import sha256
from pathlib import Path
from typing import Any

from dalsegno import viz
from dalsegno.demo.workflow import flow
from dalsegno.graphs.definition import read_definition
from dalsegno.graphs.model import END, START, EdgeSpec, NodeSpec, WorkflowSpec, counter_name
from dalsegno.graphs.validation import check
from dalsegno.viz.overlay import Execution, NodeRun, RunView, StateAt, Used
from dalsegno.viz.page import page

HERE = Path(__file__).parent


def kept_run(name: str) -> RunView:
    """A run, as its ledger told it."""
    kept = json.loads((HERE / f"{name}-run.json").read_text(encoding="utf-8"))
    return RunView(
        **{
            **kept,
            "nodes": {name: NodeRun(**node) for name, node in kept["nodes"].items()},
            "edges": {(source, target, answer): times for source, target, answer, times in kept["edges"]},
            "pending": tuple(kept["pending"]),
            "marks": tuple(kept["marks"]),
            "executions": tuple(_execution(e) for e in kept["executions"]),
            "states": tuple(StateAt(**state) for state in kept["states"]),
            "used": tuple(Used(**bar) for bar in kept["used"]),
        }
    )


def _execution(kept: dict[str, Any]) -> Execution:
    return Execution(**{**kept, "targets": tuple((target, answer) for target, answer in kept["targets"])})


def _choice(source: str, target: str, label: str, **more: Any) -> EdgeSpec:
    return EdgeSpec(source, target, "choice", router="route", label=label, **more)


def signs() -> WorkflowSpec:
    """A graph with every kind of node and of edge in it."""
    child = WorkflowSpec("inner", nodes={"draft": NodeSpec("draft")},
                         edges=(EdgeSpec(START, "draft"), EdgeSpec("draft", END)))  # fmt: skip
    nodes = [
        NodeSpec("plan"),
        NodeSpec("research", kind="tool", attempts=3),
        NodeSpec("facts", kind="remote", timeout=30),
        NodeSpec("write", kind="agent", calls=1),
        NodeSpec("chapter", kind="subworkflow", child=child),
        NodeSpec("review", kind="human", interrupts=1),
        NodeSpec("publish", effect=True, compensate="withdraw"),
        NodeSpec("withdraw"),
        NodeSpec("repair", kind="handler"),
        NodeSpec("notify"),
    ]
    counter = counter_name("review", "route", "again", "write")
    edges = (
        EdgeSpec(START, "plan"),
        EdgeSpec("plan", "facts"),
        _choice("plan", "research", "sources", each=5, fans_out=True),
        EdgeSpec("research", "write", "join", sources=("research", "facts")),
        EdgeSpec("write", "chapter"),
        EdgeSpec("chapter", "review"),
        _choice("review", "publish", "good"),
        _choice("review", "write", "again", loop=3),
        _choice("review", "notify", "again", exhausted_of=counter),
        EdgeSpec("publish", "repair", "handler"),
        EdgeSpec("publish", END),
        EdgeSpec("repair", END),
        EdgeSpec("withdraw", END),
        EdgeSpec("notify", "", "unknown", router="anywhere"),
    )
    return WorkflowSpec("every sign", nodes={n.name: n for n in nodes}, edges=edges)


def article(version: str = "1") -> WorkflowSpec:
    """A small graph in two versions."""
    nodes = [NodeSpec("write", kind="agent", calls=1), NodeSpec("review", kind="agent", calls=1)]
    nodes += [NodeSpec("escalate", kind="human", interrupts=1)] if version == "2" else []
    most, spent = (3, "escalate") if version == "2" else (2, END)
    edges = [
        EdgeSpec(START, "write"),
        EdgeSpec("write", "review"),
        _choice("review", END, "good"),
        _choice("review", "write", "again", loop=most),
        _choice("review", spent, "again", exhausted_of=counter_name("review", "route", "again", "write")),
    ]
    edges += [EdgeSpec("escalate", END)] if version == "2" else []
    return WorkflowSpec("article", version, nodes={n.name: n for n in nodes}, edges=tuple(edges))


def failed() -> RunView:
    """A run of the second version, which failed in its second round."""
    steps = (
        Execution("write", 1, seconds=1.8, targets=(("review", None),)),
        Execution("review", 2, seconds=0.9, targets=(("write", "again"),)),
        Execution("write", 3, seconds=2.4, attempts=2, targets=(("review", None),)),
        Execution("review", 4, "failed", seconds=30.0, attempts=3, error="TimeoutError: no answer in 30 s"),
    )
    return RunView(
        run_id="7c1e44a0",
        thread="t1",
        workflow="article",
        status="failed",
        nodes={
            "write": NodeRun(2, "done", 4.2, 2),
            "review": NodeRun(2, "failed", 30.9, 3, "TimeoutError: no answer in 30 s"),
        },
        edges={(START, "write", None): 1, ("write", "review", None): 2, ("review", "write", "again"): 1},
        pending=("review",),
        supersteps=4,
        proved=9,
        executions=steps,
        used=(Used("supersteps", 4, 9), Used("model calls", 6, 8), Used("seconds", 35.1)),
    )


def domain(name: str) -> WorkflowSpec:
    """A document of `examples/domains`."""
    return read_definition(HERE.parents[1] / "examples" / "domains" / f"{name}.yaml").workflow().spec


def draw(folder: Path) -> list[Path]:
    """Draws every picture into a folder; what needs Chromium only where there is one."""
    spec = flow().spec
    domains = {name: domain(name) for name in ("loan", "diagnosis", "content")}
    return [
        viz.draw(spec, folder / "run.svg", run=kept_run("demo"), report=check(spec)),
        viz.draw(signs(), folder / "signs.svg"),
        viz.draw(article("2"), folder / "failed.svg", run=failed()),
        viz.draw(article("2"), folder / "difference.svg", against=article("1")),
        viz.draw(domains["loan"], folder / "loan.svg", run=kept_run("loan"), report=check(domains["loan"])),
        *(
            viz.draw(domains[name], folder / f"{name}.svg", report=check(domains[name]))
            for name in ("diagnosis", "content")
        ),
    ]


def demo_page() -> str:
    """The page of the demo's run."""
    spec = flow().spec
    return page(viz.picture_of(spec, report=check(spec)), kept_run("demo"), report=check(spec))


def taken_of(html: str) -> str:
    """What a screenshot says of the page that it was taken of."""
    return sha256(html.encode()).hexdigest()


def stamped(png: bytes, html: str) -> bytes:
    """The PNG, with a text in it that tells the page."""
    body = b"tEXtpage\0" + taken_of(html).encode()
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return png[:33] + chunk + png[33:]  # after the signature and the header


def _screenshot() -> None:
    sys.path.insert(0, str(HERE.parents[1]))
    from tests.viz.browser import Browser, chromium

    found = chromium()
    if found is None:
        print("No Chromium: page.png stays as it is.")
        return
    with tempfile.TemporaryDirectory() as folder:
        browser = Browser(found, Path(folder) / "home")
        try:
            file = Path(folder) / "page.html"
            file.write_text(demo_page(), encoding="utf-8")
            browser.open(file, width=1240, height=980)
            browser.run("for (let i = 0; i < 5; i++) document.getElementById('back').click()")
            browser.run("document.activeElement.blur()")
            (HERE / "page.png").write_bytes(stamped(browser.screenshot(), demo_page()))
        finally:
            browser.close()


if __name__ == "__main__":
    print(*draw(HERE), sep="\n")
    _screenshot()
