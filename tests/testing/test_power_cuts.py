"""A power cut takes what was not synced; the durable profile is asked for nothing that was acknowledged."""

from __future__ import annotations

import operator
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dalsegno import END, START, Loop, SqliteCheckpointer, Workflow
from dalsegno.checkpoints.file import connecting
from dalsegno.testing import CrashReport, crash_test
from dalsegno.testing.crash_kit.disk import Deed, Disk
from dalsegno.testing.crash_kit.tracing import why_not

INPUT = {"topic": "rain", "notes": []}
ANSWERS = {"first": "yes", "second": "no"}
NO_TRACING = why_not()

traced = pytest.mark.skipif(NO_TRACING is not None, reason=f"no process can be traced: {NO_TRACING}")
seeds = st.integers(0, 2**32)
writes = st.lists(st.tuples(st.integers(0, 3000), st.binary(min_size=1, max_size=1500)), max_size=6)


def disk_with(*deeds: Deed) -> Disk:
    disk = Disk("/d", {})
    for deed in deeds:
        disk.do(deed)
    return disk


def written(content: bytes, changes: list[tuple[int, bytes]]) -> bytes:
    for offset, data in changes:
        content = content.ljust(offset, b"\0")[:offset] + data + content[offset + len(data) :]
    return content


@given(before=writes, after=writes, seed=seeds)
def test_what_was_synced_stays_and_what_is_written_later_harms_only_its_own_place(
    before: list[tuple[int, bytes]], after: list[tuple[int, bytes]], seed: int
) -> None:
    disk = disk_with(Deed("make", "/d/f"), *(Deed("write", "/d/f", 0, *one) for one in before))
    for path in ("/d/f", "/d"):
        disk.do(Deed("sync", path))
    for one in after:
        disk.do(Deed("write", "/d/f", 0, *one))
    kept, found = written(b"", before), disk.cut(random.Random(seed))["/d/f"]
    assert found is not None
    assert len(found) >= len(kept)
    touched = {place for offset, data in after for place in range(offset, offset + len(data))}
    assert all(found[place] == byte for place, byte in enumerate(kept) if place not in touched)


@given(seed=seeds)
def test_a_file_lasts_when_it_and_its_folder_are_synced(seed: int) -> None:
    made = (Deed("folder", "/d/a"), Deed("make", "/d/a/f"), Deed("write", "/d/a/f", 0, 0, b"x"))
    synced = disk_with(*made, *(Deed("sync", path) for path in ("/d/a/f", "/d/a", "/d")))
    assert synced.cut(random.Random(seed)) == {"/d/a": None, "/d/a/f": b"x"}


def fates(*deeds: Deed) -> set[tuple[tuple[str, bytes | None], ...]]:
    disk = disk_with(*deeds)
    return {tuple(sorted(disk.cut(random.Random(seed)).items())) for seed in range(200)}


def test_without_a_sync_everything_may_be_gone_there_or_torn() -> None:
    data = b"a" * 512 + b"b" * 512
    found = fates(
        Deed("make", "/d/f"), Deed("sync", "/d"), Deed("write", "/d/f", 0, 0, data), Deed("remove", "/d/f")
    )
    contents = {dict(one).get("/d/f") for one in found}
    assert {None, b"", data, data[:512], bytes(1024), bytes(512) + data[512:]} <= contents


def test_a_folder_that_was_not_synced_may_take_a_synced_file_with_it() -> None:
    found = fates(
        Deed("folder", "/d/a"), Deed("make", "/d/a/f"), Deed("sync", "/d/a/f"), Deed("sync", "/d/a")
    )
    assert found == {(), (("/d/a", None), ("/d/a/f", b""))}


@traced
def test_a_power_cut_takes_nothing_that_was_acknowledged(workflow: Workflow) -> None:
    report = crash_test(workflow, INPUT, at="power cuts", kills=8, again=1, answers=ANSWERS)
    report.raise_for_failures()
    assert report.kills > 8  # of those that resumed, too


@traced
def test_nodes_may_do_to_files_of_their_own_what_they_like(tmp_path: Path) -> None:
    class Notes(TypedDict, total=False):
        notes: Annotated[list[str], operator.add]

    def report(state: Notes) -> Any:
        with open(tmp_path / "draft", "wb") as file:
            os.writev(file.fileno(), [b"a", b"b"])
        os.replace(tmp_path / "draft", tmp_path / "report")
        return {"notes": [(tmp_path / "report").read_text()]}

    flow = Workflow("reporting", Notes).add_node("report", report).add_edge(START, "report")
    crash_test(flow.add_edge("report", END), {}, at="power cuts", kills=6).raise_for_failures()


@traced
@pytest.mark.torture
@pytest.mark.parametrize("profile", ["durable", "fast"])
def test_hundreds_of_power_cuts_do_no_harm(
    workflow: Workflow, profile: Literal["durable", "fast"], amount: Callable[[int], int]
) -> None:
    kills = amount(300)
    report = crash_test(
        workflow, INPUT, at="power cuts", kills=kills, again=1, answers=ANSWERS, profile=profile, linger=0.002
    )
    print(report.raise_for_failures())


@traced
def test_the_fast_profile_may_lose_the_last_commits_and_never_the_database(fanned_workflow: Workflow) -> None:
    report = crash_test(fanned_workflow, INPUT, at="power cuts", kills=25, profile="fast", seed=5)
    report.raise_for_failures()
    assert any(point.rolled_back for point in report.points)
    assert not any(point.lost or point.forgotten for point in report.points)


def filling_its_log() -> Workflow:
    """Twelve rounds of 400 kB each: SQLite copies the log back into the database, and writes over it."""

    class Parts(TypedDict, total=False):
        parts: Annotated[list[bytes], operator.add]

    def grow(state: Parts) -> Any:
        return {"parts": [random.Random(len(state.get("parts", []))).randbytes(400_000)]}

    flow = Workflow("filling its log", Parts).add_node("grow", grow).add_edge(START, "grow")
    return flow.add_conditional_edges(
        "grow",
        lambda state: "more" if len(state["parts"]) < 12 else "done",
        {"more": Loop("grow", max=20, on_exhausted=END), "done": END},
    )


@traced
def test_the_power_may_go_while_the_log_is_copied_back_into_the_database() -> None:
    report = crash_test(filling_its_log, {}, at="power cuts", kills=5, profile="fast", linger=0.002)
    report.raise_for_failures()
    assert report.writes > 3000  # more than one commit writes


@traced
@pytest.mark.torture
@pytest.mark.parametrize("profile", ["durable", "fast"])
def test_no_power_cut_while_the_log_is_copied_back_does_harm(
    profile: Literal["durable", "fast"], amount: Callable[[int], int]
) -> None:
    report = crash_test(
        filling_its_log, {}, at="power cuts", kills=amount(300), again=1, profile=profile, linger=0.002
    )
    print(report.raise_for_failures())


class NotSynced(SqliteCheckpointer):
    """Says that it is durable, and does not wait for the disk."""

    def __init__(self, database: Any, **options: Any) -> None:
        database.profile = "fast"
        super().__init__(database, **options)


def what_is_wrong(report: CrashReport) -> str:
    return "\n".join(str(point) for point in report.failures)


@traced
def test_a_database_that_is_not_synced_is_found_to_lose_commits_and_each_cut_can_be_had_again(
    linear_workflow: Workflow,
) -> None:
    report = crash_test(linear_workflow, INPUT, at="power cuts", kills=20, checkpointer=NotSynced)
    assert "committed and executed again: " in what_is_wrong(report)
    assert "acknowledged, and gone from the database" in what_is_wrong(report)
    # One node after the other: of two at once the writes come in another order the next time.
    worst = str(report.failures[0].kills[0])
    again = crash_test(linear_workflow, INPUT, at=worst, checkpointer=NotSynced)
    assert [str(point.kills[0]) for point in again.failures] == [worst]


@traced
def test_a_database_that_is_never_synced_is_found_damaged(
    fanned_workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connecting._SYNCHRONOUS, "fast", "OFF")
    report = crash_test(fanned_workflow, INPUT, at="power cuts", kills=30, profile="fast")
    assert "DatabaseInvalid" in what_is_wrong(report)
