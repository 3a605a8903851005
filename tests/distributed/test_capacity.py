"""What docs/capacity.md says of capacity is what the script computes from what was measured."""

from __future__ import annotations

from pathlib import Path

from benchmarks.capacity import MEASURED, Load, plan, rows, waited

PAGE = Path(__file__).parents[2] / "docs" / "capacity.md"


def test_the_table_of_the_page_is_what_the_script_prints() -> None:
    page = PAGE.read_text()
    for row in rows():
        assert row in page


def test_every_figure_that_was_measured_stands_in_the_page() -> None:
    page = PAGE.read_text()
    for name, value in vars(MEASURED).items():
        assert f"{value:g}" in page, name


def test_more_places_wait_less_and_more_runs_take_more_workers() -> None:
    load = Load(runs=100_000, supersteps=10, seconds=3.0)
    waits = [waited(load, places, runs=5_000)[0] for places in (90, 100, 140)]
    assert waits == sorted(waits, reverse=True)
    assert plan(load).workers < plan(Load(runs=200_000, supersteps=10, seconds=3.0)).workers
