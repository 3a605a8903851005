"""Documents of any make: proved to end, run within the bound, and come to what a simple interpreter says."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dalsegno import Runner
from dalsegno.errors import DocumentInvalid
from dalsegno.graphs.definition import WorkflowDefinition
from tests.graphs.documents.reference_interpreter import Run, RunFailed, written

FUNCTIONS = '''
import json


def got(x):
    return {"got": x, "n": len(json.dumps(x)) % 7}


def same(x):
    return x


def many(x):
    return [x, "$input.n", len(json.dumps(x)) % 5]


def number(x):
    return len(json.dumps(x)) % 11


def picky(x):
    """Fails for about one in three."""
    if sum(map(ord, json.dumps(x))) % 3 == 0:
        raise ValueError("not this one")
    return {"fine": True, "n": 3}


def never(x):
    raise ValueError("never")
'''
MADE: dict[str, Any] = {}
exec(FUNCTIONS, MADE)
NAMES = [name for name in MADE if callable(MADE[name]) and not name.startswith("_")]
USUAL = [*NAMES, "got", "same", "got", "many"]

# -- documents -----------------------------------------------------------------------------------


class Making:
    """Draws a document, with the names of the steps that references may name where something is drawn."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.names = (f"s{number}" for number in itertools.count())

    def one(self, *given: Any) -> Any:
        return self.draw(st.sampled_from(given))

    def chance(self, of: int) -> bool:
        return self.draw(st.integers(1, of)) == 1

    def reference(self, known: list[str], *roots: str) -> Any:
        root = self.one(
            "input", "current", "current", "previous", *(["results"] * 3 if known else []), *roots
        )
        path: list[Any] = (
            [self.one(*known)]
            if root == "results"
            else [self.one("n", "list", "a_b")]
            if root == "input"
            else []
        )
        ends = self.one([], [], [], ["n"], ["got"], [0], [-1], ["got", "n"])
        if root == "input" or not known:  # what is known of the input is checked, and others are refused
            ends = []
        optional = bool(ends) or self.chance(3) or (root == "results" and not self.chance(6))
        return ("ref", root, (*path, *ends), optional)

    def value(self, known: list[str], *roots: str) -> Any:
        kind = self.one("ref", "ref", "ref", "text", "list", "dict", "plain")
        if kind == "ref":
            return self.reference(known, *roots)
        if kind == "text":
            return ("text", ("Dear $5 ", self.reference(known, *roots), " {x} "))
        if kind == "list":
            return [self.reference(known, *roots), "$input.n"]
        if kind == "dict":
            return {"$x": self.reference(known, *roots), "y": 1.5}
        return self.one(None, True, 3, "${input.n}", "%s")

    def condition(self, known: list[str], deeper: int = 3) -> Any:
        kind = self.one("cmp", "cmp", "cmp", *(["not", "and", "or"] if deeper else []))
        if kind == "not":
            return ("not", self.condition(known, deeper - 1))
        if kind in ("and", "or"):
            return (kind, self.condition(known, deeper - 1), self.condition(known, deeper - 1))
        left = self.reference(known)
        left = (*left[:3], False)
        operator = self.one("==", "!=", "<", ">=")
        if operator in ("<", ">="):
            left = self.one(("ref", "input", ("n",), False), ("length", ("ref", "input", ("list",), False)))
        return (
            "cmp",
            left,
            operator,
            self.one(0, 1, 2, 3, *((None, "a") if operator in ("==", "!=") else ())),
        )

    def call(self, name: str, known: list[str], *roots: str) -> dict[str, Any]:
        return {"name": name, "function": self.one(*USUAL), "params": self.value(known, *roots)}

    def steps(self, count: int, known: list[str], *, depth: int = 0) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        seen = list(known)
        for _ in range(count):
            made.append(self.step(seen, depth))
            seen.append(made[-1]["name"])
        for place, step in enumerate(made):
            if self.chance(2):
                step["on_error"] = self.on_error(step, place, [each["name"] for each in made], depth)
        return made

    def on_error(self, step: dict[str, Any], place: int, names: list[str], depth: int) -> Any:
        ways: list[Any] = ["skip", "skip", "fail", *({"goto": name} for name in names[place + 1 :])]
        ways += [{"goto": names[place], "max": 1}, {"goto": names[0], "max": 2}]
        if not depth and step["strategy"] not in ("loop", "map_reduce"):
            ways += ["compensate"] * 6
        return self.one(*ways)

    def step(self, known: list[str], depth: int) -> dict[str, Any]:
        strategies = ["sequential", "sequential", "parallel", "conditional", "map_reduce", "saga"]
        strategy = self.one(*strategies, *(["loop", "loop"] if depth < 2 else []))
        step: dict[str, Any] = {"name": next(self.names), "strategy": strategy}
        if self.chance(4):
            step["condition"] = self.condition(known)
        if strategy == "loop":
            step["max"] = self.one(1, 2, 3)
            if self.chance(2):
                step["until"] = self.condition(known)
            if self.chance(2):
                step["steps"] = self.steps(self.one(1, 2), known, depth=depth + 1)
                return step
        names = [
            f"c{number}"
            for number in range(self.one(1, 2) if strategy == "map_reduce" else self.one(1, 2, 3))
        ]
        step["agent_calls"] = [self.call(name, known) for name in names]
        if strategy == "map_reduce":
            step |= {"max": 3, "over": self.one(("ref", "input", ("list",), False), self.reference(known))}
        if strategy == "conditional":
            for call in step["agent_calls"][: -1 if self.chance(2) and len(names) > 1 else None]:
                call["when"] = self.condition(known)
        if strategy == "saga" or (
            strategy != "map_reduce" and strategy != "loop" and not depth and self.chance(3)
        ):
            for call in step["agent_calls"][: None if self.chance(2) else -1]:
                if strategy == "saga" or self.chance(2):
                    undo = self.call("back", known, "result", "result")
                    call["compensation"] = {key: undo[key] for key in ("function", "params")}
        return step


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    making = Making(draw)
    steps = making.steps(draw(st.integers(1, 5)), [])
    names = [step["name"] for step in steps]
    made: dict[str, Any] = {"name": "made", "steps": steps}
    if making.chance(2):
        made["output"] = making.value(names)
    last = max((n for n, step in enumerate(steps) if step.get("on_error") == "compensate"), default=-1)
    for step in steps[last + 1 :]:
        if step["strategy"] != "saga":
            for call in step.get("agent_calls", ()):
                call.pop("compensation", None)
    return made


GIVEN = st.fixed_dictionaries(
    {
        "n": st.integers(0, 4),
        "list": st.lists(st.sampled_from([1, "a", "$input.n", {"n": 2}, None]), max_size=4),
        "a_b": st.sampled_from(["", "${current}", "Zoé"]),
    }
)
INPUT = {"n": "integer", "list": "array", "a_b": "string"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    (folder / "made_work.py").write_text(FUNCTIONS)
    return folder


REFUSED = ("may have no result", "Going back to", "would never be called", "has no ", "and no [", "is a list")
"""What a document that was drawn may be refused for."""


def as_written(made: dict[str, Any]) -> dict[str, Any]:
    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: f"made_work.py:{v}" if k == "function" else named(v) for k, v in value.items()}
        return [named(each) for each in value] if isinstance(value, list) else value

    return {**named(written(made)), "input": INPUT}


def compared(made: dict[str, Any], given_: dict[str, Any], folder: Path) -> str:
    """Runs a document both ways; what came of it, in a word."""
    document = as_written(made)
    try:
        definition = WorkflowDefinition.model_validate(document)
        flow = definition.workflow(folder=folder)
    except DocumentInvalid as error:
        refused = error
    else:
        refused = None
    if refused is not None:
        assert all(any(says in p.message for says in REFUSED) for p in refused.problems), (document, refused)
        return "refused"
    report = flow.validate()
    if not report.ok and {finding.code for finding in report.findings if finding.severity == "error"} == {
        "R401"
    }:
        return "refused"  # a saga has a call that cannot be taken back, and one behind it can fail
    assert report.ok, (document, report.findings)
    assert report.certificate is not None
    expected: Any
    given_ = {name: given_[name] for name in INPUT}  # in the order in which they are declared
    run = Run(made["steps"], MADE)
    try:
        expected, status = run.run(given_, *([made["output"]] if "output" in made else [])), "completed"
    except RunFailed:
        expected, status = None, "failed"
    with Runner(flow, db=folder / "runs.db") as runner:
        result = runner.run(given_)
    told = (document, given_, result.error)
    assert result.status == status, told
    assert report.certificate.supersteps is not None
    assert result.supersteps <= report.certificate.supersteps, told
    if status == "failed":
        assert result.error is not None
        # A reference without a mark leads to the result of a step: what was let pass has one.
        assert "has no result" not in result.error["message"], told
        return "failed"
    found = dict(result.output)
    assert found["output"] == expected, told
    if "outcome" in found:
        outcome = "done" if not run.rolled_back else "partly undone" if run.not_undone else "undone"
        assert found["outcome"] == outcome, told
        assert list(found.get("undone") or []) == run.undone, told
        assert [each["name"] for each in found.get("not_undone") or []] == run.not_undone, told
    return "undone" if run.rolled_back else "completed"


def test_a_loop_whose_steps_are_all_skipped_hands_on_what_it_was_given(folder: Path) -> None:
    never = ("cmp", ("ref", "input", ("n",), False), "<", 0)
    step = {"name": "b", "strategy": "sequential", "condition": never}
    step["agent_calls"] = [{"name": "c", "function": "got", "params": 1}]
    made = {"name": "made", "steps": [{"name": "a", "strategy": "loop", "max": 2, "steps": [step]}]}
    assert compared(made, {"n": 1, "list": [], "a_b": ""}, folder) == "completed"


@given(documents(), GIVEN)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_document_of_any_make_ends_in_time_as_it_says(
    folder: Path, made: dict[str, Any], given_: dict[str, Any]
) -> None:
    compared(made, given_, folder)


@pytest.mark.torture
@given(documents(), GIVEN)
@settings(max_examples=3_000, deadline=None, suppress_health_check=list(HealthCheck))
def test_thousands_of_documents_end_in_time_as_they_say(
    folder: Path, made: dict[str, Any], given_: dict[str, Any]
) -> None:
    compared(made, given_, folder)
