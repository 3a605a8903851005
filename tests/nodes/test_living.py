"""Objects that are held as long as somebody else has them, looked through by any thread."""

from __future__ import annotations

import threading

import pytest

from dalsegno.nodes.living import Living


class Thing:
    pass


def test_it_holds_what_somebody_has() -> None:
    living, one, other = Living[Thing](), Thing(), Thing()
    living.add(one)
    living.add(other)
    living.add(one)
    assert list(living) == [one, other]
    del other
    assert list(living) == [one]
    living.discard(one)
    living.discard(one)
    assert list(living) == []


@pytest.mark.usefixtures("threads_that_take_turns_often")
def test_threads_add_and_let_go_while_others_look() -> None:
    living, kept = Living[Thing](), [Thing() for _ in range(50)]
    for one in kept:
        living.add(one)
    is_over = threading.Event()

    def come_and_go() -> None:
        while not is_over.is_set():
            living.add(Thing())

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(300):
            assert {*kept} <= {*living}
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert {*living} == {*kept}
