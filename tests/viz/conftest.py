"""The workflows that the pictures are tested on, small to hostile."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import pytest

from dalsegno.graphs.model import END, START, EdgeSpec, NodeSpec, WorkflowSpec, counter_name
from dalsegno.viz.overlay import NodeRun, RunView

HOSTILE = {
    "markup": "<script>alert(1)</script>",
    "attribute": '" onload="alert(1)',
    "entity": "&lt;b&gt; &amp; &#0;",
    "html label": "<b>bold</b>",
    "quote": "say \"hi\" and 'bye'",
    "backslash": "C:\\N\\L\\G\\",
    "newline": "two\nlines\r\nthree",
    "right to left": "שלום עולם",
    "override": "evil\u202egnp.exe",
    "control": "bell\x07 nul\x00 escape\x1b[31m",
    "surrogate": "half \ud83d pair",
    "keyword": "end",
    "number": "007",
    "dot": "a -> b; c [shape=box]",
    "mermaid": '"] --> x["click',
    "hash": "#1",
    "spaces": "  ",
    "emoji": "🎼👩‍👩‍👧",
    "han": "漢字かな交じり文",
    "long": "x" * 1000,
    "comment": "--> <!-- ]]>",
}


def _workflow(name: str, nodes: list[NodeSpec], edges: list[EdgeSpec]) -> WorkflowSpec:
    return WorkflowSpec(name=name, nodes={n.name: n for n in nodes}, edges=tuple(edges))


def _choice(source: str, target: str, label: str) -> EdgeSpec:
    return EdgeSpec(source, target, "choice", router="route", label=label)


def _loop(source: str, target: str, label: str, most: int, spent: str) -> list[EdgeSpec]:
    counter = counter_name(source, "route", label, target)
    return [
        EdgeSpec(source, target, "choice", router="route", label=label, loop=most),
        EdgeSpec(source, spent, "choice", router="route", label=label, exhausted_of=counter),
    ]


def _article() -> WorkflowSpec:
    nodes = [
        NodeSpec("plan"),
        NodeSpec("write", kind="agent", calls=1, attempts=3),
        NodeSpec("review", kind="agent", timeout=30),
        NodeSpec("escalate", kind="human", interrupts=1),
    ]
    edges = [
        EdgeSpec(START, "plan"),
        EdgeSpec("plan", "write"),
        EdgeSpec("write", "review"),
        _choice("review", END, "good"),
        *_loop("review", "write", "again", 3, "escalate"),
        EdgeSpec("escalate", END),
    ]
    return _workflow("article", nodes, edges)


def _research() -> WorkflowSpec:
    nodes = [
        NodeSpec("split"),
        NodeSpec("search", kind="tool"),
        NodeSpec("facts", kind="remote"),
        NodeSpec("images", kind="tool"),
        NodeSpec("merge"),
        NodeSpec("publish", effect=True, compensate="unpublish", policies={"breaker": 1, "cache": None}),
        NodeSpec("repair", kind="handler"),
        NodeSpec("audit", defer=True),
    ]
    edges = [
        EdgeSpec(START, "split"),
        EdgeSpec("split", "search", "choice", router="spread", label="search", each=200, fans_out=True),
        EdgeSpec("split", "merge", "choice", router="spread", label="none"),
        EdgeSpec("split", "facts"),
        EdgeSpec("split", "images"),
        EdgeSpec("facts", "merge", "join", sources=("facts", "images")),
        EdgeSpec("search", "merge"),
        EdgeSpec("merge", "publish"),
        EdgeSpec("merge", "audit"),
        EdgeSpec("publish", "repair", "handler"),
        EdgeSpec("publish", END),
        EdgeSpec("repair", END),
        EdgeSpec("audit", "", "unknown", router="anywhere"),
    ]
    return _workflow("research", nodes, edges)


def _magazine() -> WorkflowSpec:
    nodes = [
        NodeSpec("topics"),
        NodeSpec("article", kind="subworkflow", child=_article()),
        NodeSpec("layout"),
    ]
    edges = [
        EdgeSpec(START, "topics"),
        EdgeSpec("topics", "article", "choice", router="spread", label="write", each=12, fans_out=True),
        _choice("topics", END, "nothing"),
        EdgeSpec("article", "layout"),
        *_loop("layout", "topics", "gaps", 2, END),
    ]
    return _workflow("magazine", nodes, edges)


def _library() -> WorkflowSpec:
    """Two levels deep, and a subworkflow that loops to itself and joins."""
    nodes = [
        NodeSpec("magazine", kind="subworkflow", child=_magazine()),
        NodeSpec("other", kind="subworkflow", child=_article()),
        NodeSpec("shelf"),
    ]
    edges = [
        EdgeSpec(START, "magazine"),
        EdgeSpec(START, "other"),
        *_loop("other", "other", "more", 2, "shelf"),
        EdgeSpec("magazine", "shelf", "join", sources=("magazine", "other")),
        EdgeSpec("shelf", END),
    ]
    return _workflow("library", nodes, edges)


def _twice() -> WorkflowSpec:
    nodes = [NodeSpec("ask"), NodeSpec("act")]
    edges = [
        EdgeSpec(START, "ask"),
        _choice("ask", "act", "yes"),
        _choice("ask", "act", "perhaps"),
        EdgeSpec("act", END),
    ]
    return _workflow("twice", nodes, edges)


def _hostile() -> WorkflowSpec:
    names = list(HOSTILE.values())
    edges = [EdgeSpec(START, names[0]), EdgeSpec(names[-1], END)]
    edges += [_choice(a, b, a) for a, b in pairwise(names)]
    edges += _loop(names[5], names[2], names[3], 2, names[-1])
    edges.append(EdgeSpec(names[0], names[7], "join", sources=(names[0], names[1], names[5])))
    edges.append(EdgeSpec(names[4], "no such <node>"))
    return _workflow(HOSTILE["markup"], [NodeSpec(n, compensate=n, error_handler=n) for n in names], edges)


def _wide() -> WorkflowSpec:
    names = [f"step {i:02d}" for i in range(40)]
    edges = [EdgeSpec(START, names[0])]
    edges += [EdgeSpec(names[(i - 1) // 2], name) for i, name in enumerate(names) if i]
    edges += [EdgeSpec(name, END) for name in names[20:]]
    return _workflow("wide", [NodeSpec(n) for n in names], edges)


@pytest.fixture
def article() -> WorkflowSpec:
    """plan → write ⇄ review (≤ 3) → END, or escalate."""
    return _article()


@pytest.fixture
def research() -> WorkflowSpec:
    """Fan-out, join, handler, deferred and undeclared."""
    return _research()


@pytest.fixture
def magazine() -> WorkflowSpec:
    """The article, as a subworkflow of a fan-out in a loop."""
    return _magazine()


@pytest.fixture
def twice() -> WorkflowSpec:
    """Two labels of one router to one target."""
    return _twice()


@pytest.fixture
def hostile_names() -> Mapping[str, str]:
    """Names that are markup, quotes, controls, other scripts, or very long."""
    return HOSTILE


@pytest.fixture(
    params=["empty", "article", "research", "magazine", "library", "twice", "hostile", "wide"],
)
def spec(request: pytest.FixtureRequest) -> WorkflowSpec:
    """Each workflow of the matrix in turn."""
    made = {
        "empty": lambda: _workflow("empty", [], []),
        "article": _article,
        "research": _research,
        "magazine": _magazine,
        "library": _library,
        "twice": _twice,
        "hostile": _hostile,
        "wide": _wide,
    }
    return made[request.param]()


@pytest.fixture
def interrupted() -> RunView:
    """A run of the article that spent its loop and waits for a human."""
    return RunView(
        run_id="3f2a9c1e",
        thread="t1",
        workflow="article",
        status="interrupted",
        nodes={
            "plan": NodeRun(1, "done", 0.02),
            "write": NodeRun(4, "done", 4.2, attempts=2),
            "review": NodeRun(4, "done", 2.4),
            "escalate": NodeRun(1, "interrupted"),
        },
        edges={
            (START, "plan", None): 1,
            ("plan", "write", None): 1,
            ("write", "review", None): 4,
            ("review", "write", "again"): 3,
            ("review", "escalate", "again"): 1,
        },
        pending=("escalate",),
        resumed_from=4,
        supersteps=9,
        proved=10,
    )


@pytest.fixture
def failed() -> RunView:
    """A run of the article that failed in its second review, on the way to the third attempt."""
    return RunView(
        run_id="77",
        thread="t2",
        workflow="article",
        status="failed",
        nodes={
            "plan": NodeRun(1, "done", 0.02),
            "write": NodeRun(2, "done", 4.2),
            "review": NodeRun(2, "failed", 61, attempts=3, error="TimeoutError: <no answer> in 30 s"),
        },
        edges={
            (START, "plan", None): 1,
            ("plan", "write", None): 1,
            ("write", "review", None): 2,
            ("review", "write", "again"): 1,
        },
        pending=("review",),
        supersteps=5,
        proved=10,
        error="review: TimeoutError: <no answer> in 30 s",
    )
