"""Signs of life come from a thread that nothing holds up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from fleets import until

from dalsegno.distributed.beats import Beats


@pytest.fixture
def beats() -> Iterator[Beats]:
    made = Beats()
    yield made
    made.close()


def test_a_run_whose_stop_waits_for_the_database_holds_up_no_other_ones_beats(beats: Beats) -> None:
    stops: list[str] = []
    given: list[str] = []
    back = threading.Event()

    def stop(why: str) -> None:
        stops.append(why)
        assert back.wait(60)

    def beating(name: str, why: str | None) -> Callable[[], str | None]:
        def beat() -> str | None:
            given.append(name)
            return why

        return beat

    with beats.of(beating("cancelled", "cancelled"), stop), beats.of(beating("other", None), stops.append):
        until(lambda: stops, "the one is told to stop")
        del given[:]
        until(lambda: given.count("other") >= 3, "the other one gives signs of life")
        until(lambda: given.count("cancelled") >= 3, "so does the one that is being stopped")
        assert stops == ["cancelled"]
        back.set()
    beats.close()
    assert [thread.name for thread in threading.enumerate() if thread.name == "dalsegno-stop"] == []


def test_an_engine_that_is_away_ends_no_beats(beats: Beats) -> None:
    stops: list[str] = []
    heard = iter([ConnectionError("away"), None, "taken over"])

    def beat() -> str | None:
        said = next(heard)
        if isinstance(said, Exception):
            raise said
        return said

    with beats.of(beat, stops.append):
        until(lambda: stops, "it is back")
    assert stops == ["taken over"]
