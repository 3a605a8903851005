"""Every pattern in every way it can be run, stopped, killed and resumed: one table, no holes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from pattern_case import Case, cases

from dalsegno import Budget, Runner, Workflow
from dalsegno.checkpoints import SqliteCheckpointer
from dalsegno.graphs.patterns.catalog import catalog
from dalsegno.graphs.views import KERNEL
from dalsegno.runtime import RunResult
from dalsegno.testing import crash_test

CASES = cases()
ROWS: dict[str, dict[str, str]] = {}


@pytest.mark.parametrize("name", CASES)
def test_a_pattern_in_every_way(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    cells: dict[str, Callable[[Case, Path], str]] = {
        "certified": certified,
        "bound": reaches_its_bound,
        "drawn": drawn,
        "sync": runs,
        "async": runs_in_a_loop,
        "streamed": streamed,
        "again": runs_again_on_the_thread,
        "killed": killed_and_resumed,
        "budget": stopped_by_its_budget,
        "failure": fails_as_declared,
    }
    row = ROWS.setdefault(name, {})
    for column, check in cells.items():
        (folder := tmp_path / column).mkdir()
        row[column] = check(case, folder)


def test_the_table_has_no_holes(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(CASES) == set(catalog()), "every pattern has a case, and every case a pattern"
    widths = {column: max(len(column), *(len(row[column]) for row in ROWS.values())) for column in columns()}
    with capsys.disabled():
        print(f"\n{'pattern':28}" + "  ".join(c.ljust(w) for c, w in widths.items()))
        for name, row in ROWS.items():
            number = f"{CASES[name].entry.number} {name}"
            print(f"{number:28}" + "  ".join(row[c].ljust(w) for c, w in widths.items()))
    assert all(row.keys() == widths.keys() and all(row.values()) for row in ROWS.values())


def columns() -> list[str]:
    return list(max(ROWS.values(), key=len, default={}))


# -- the columns --------------------------------------------------------------------------------------------


def certified(case: Case, folder: Path) -> str:
    report = case.flow().validate()
    assert report.findings == (), str(report)
    assert case.failing_flow().validate().ok
    assert report.certificate is not None
    assert report.certificate.supersteps == case.bound(), "the formula is the certificate's bound"
    return "yes"


def reaches_its_bound(case: Case, folder: Path) -> str:
    flow = case.flow()
    graph, config = flow.compile(InMemorySaver()), thread()
    output: Any = asyncio.run(graph.ainvoke(dict(case.given), config))
    while "__interrupt__" in output:
        output = asyncio.run(graph.ainvoke(answered(case, graph.get_state(config)), config))
    walk = graph.get_state(config).values[KERNEL]["walk"]
    certificate = flow.validate().certificate
    assert certificate is not None
    assert walk == certificate.supersteps
    if case.calls is not None:
        assert certificate.model_calls == case.calls
    return f"{walk} of {certificate.supersteps}"


def drawn(case: Case, folder: Path) -> str:
    flow = case.flow()
    picture = flow.draw(folder / "flow.dot").read_text()
    assert all(f"<title>{node}</title>" in picture or node in picture for node in flow.nodes)
    return "yes"


def runs(case: Case, folder: Path) -> str:
    with runner(case.flow(), folder) as running:
        result = ended(case, running, running.run(dict(case.given), thread="t"))
    expected(case, result)
    if case.calls is not None:
        assert result.usage["model_calls"] == case.calls
    return "yes"


def runs_in_a_loop(case: Case, folder: Path) -> str:
    async def run() -> RunResult:
        with runner(case.flow(), folder) as running:
            result = await running.arun(dict(case.given), thread="t")
            while result.status == "interrupted":
                result = await running.aresume("t", reply(case, result))
            return result

    expected(case, asyncio.run(run()))
    return "yes"


def streamed(case: Case, folder: Path) -> str:
    async def stream(running: Runner) -> tuple[set[str], RunResult]:
        stream = running.astream(dict(case.given), thread="t")
        seen = {node async for chunk in stream for node in chunk}
        assert stream.result is not None
        return seen, stream.result

    with runner(case.flow(), folder) as running:
        seen, result = asyncio.run(stream(running))
        expected(case, ended(case, running, result))
    assert seen
    return f"{len(seen)} nodes"


def runs_again_on_the_thread(case: Case, folder: Path) -> str:
    with runner(case.flow(), folder) as running:
        first = ended(case, running, running.run(dict(case.given), thread="t"))
        second = ended(case, running, running.run(dict(case.given), thread="t"))
    expected(case, second)
    assert second.supersteps == first.supersteps
    return "yes"


def killed_and_resumed(case: Case, folder: Path) -> str:
    report = crash_test(case.flow(), dict(case.given), answers=case.answers)
    report.raise_for_failures()
    return f"{report.kills} kills"


def stopped_by_its_budget(case: Case, folder: Path) -> str:
    with runner(case.flow(), folder) as running:
        result = running.run(dict(case.given), thread="t", budget=Budget(supersteps=case.bound() - 1))
        while result.status == "interrupted":
            result = running.resume("t", reply(case, result))
        assert result.status == "failed", result.status
        assert result.error is not None
        assert result.error["type"] == "BudgetExceeded", result.error
        assert f"{case.bound() - 1} supersteps" in result.error["message"]
        more = Budget(supersteps=case.bound())
        expected(case, ended(case, running, running.resume("t", budget=more)))
    return "resumed"


def fails_as_declared(case: Case, folder: Path) -> str:
    way = case.failing
    with runner(case.failing_flow(), folder) as running:
        result = ended(case, running, running.run(dict(way.given), thread="t"))
        if way.error is not None:
            kind, message = way.error
            assert result.status == "failed", result
            assert result.error is not None
            assert result.error["type"] == kind, result.error
            assert message in result.error["message"]
            assert running.ledger.latest("t", plain=True) is not None
            if way.mended is None:
                assert running.resume("t").status == "failed"  # it can be resumed, and fails again
                return kind
            way.mended()
            result = running.resume("t")
        assert result.status == "completed", result.error
        for key, value in (way.expect or {}).items():
            assert result.output[key] == value
    return "declared"


# -- what they share ----------------------------------------------------------------------------------------


def runner(flow: Workflow, folder: Path) -> Runner:
    return Runner(flow, SqliteCheckpointer(folder / "runs.db", profile="fast"))


def ended(case: Case, running: Runner, result: RunResult) -> RunResult:
    while result.status == "interrupted":
        result = running.resume(result.thread, reply(case, result))
    return result


def expected(case: Case, result: RunResult) -> None:
    assert result.status == "completed", result.error
    shown: Mapping[str, Any] = {key: result.output.get(key) for key in case.expect}
    assert shown == dict(case.expect)


def reply(case: Case, result: RunResult) -> Any:
    return {i["id"]: (case.answers or {})[i["node"]] for i in result.interrupts}


def answered(case: Case, state: Any) -> Any:
    from langgraph.types import Command

    pairs: Iterator[Any] = ((i.id, (case.answers or {})[t.name]) for t in state.tasks for i in t.interrupts)
    return Command(resume=dict(pairs))


def thread() -> Any:
    return {"configurable": {"thread_id": "t"}}
