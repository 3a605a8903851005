"""The index of the topics: built whole, found again, and never confused by what is typed into it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dalsegno.demo.library import Library
from dalsegno.demo.topics import Passage
from dalsegno.errors import DatabaseUnavailable


@pytest.fixture(scope="module")
def library() -> Iterator[Library]:
    with Library.open() as library:
        yield library


def passage(text: str, topic: str = "rain", position: int = 0) -> Passage:
    return Passage(
        id=f"{topic}:{position}", topic=topic, heading=topic, position=position, text=text, score=0.0
    )


_TYPED = st.text() | st.text(alphabet="\"*^:(){}+-,. NEAR AND OR NOT rowid\x00\\'%_with", max_size=60)


@given(query=_TYPED, k=st.integers(-1, 60), mode=st.sampled_from(["hybrid", "words", "trigrams"]))
def test_no_query_is_a_syntax_error(library: Library, query: str, k: int, mode: str) -> None:
    found = library.search(query, k, mode=mode)  # type: ignore[arg-type]

    assert len(found) <= max(k, 0)
    assert len({p["id"] for p in found}) == len(found)
    assert all(0 <= weight <= 1 for weight in library.weights(query).values())


def test_the_best_passage_comes_first_with_its_score(library: Library) -> None:
    found = library.search("What is a lambda expression?", 10)

    assert found[0]["topic"] == "lambda"
    assert [p["score"] for p in found] == sorted((p["score"] for p in found), reverse=True)


def test_a_wider_search_keeps_what_a_narrow_one_found(library: Library) -> None:
    narrow = library.search("How are names resolved?", 5)

    assert library.search("How are names resolved?", 15)[:5] == narrow


def test_a_rare_word_weighs_more_than_a_common_one_and_an_unknown_one_most(library: Library) -> None:
    weights = library.weights("object metaclass zyzzyva")

    assert weights["object"] < weights["metaclass"] < weights["zyzzyva"] == 1


def test_any_passages_can_be_a_library() -> None:
    with Library([passage("Rain falls from clouds."), passage("Snow is frozen.", "snow")]) as library:
        assert len(library) == 2
        assert library.search("frozen snow", 5)[0]["topic"] == "snow"
        assert [p["topic"] for p in library.search("frozen snow", 5, mode="words")] == ["snow"]


def test_the_index_is_made_once_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "topics.db"
    with Library.open(path) as first:
        found = first.search("slots", 3)
    made = path.stat()

    with Library.open(path) as second:
        assert second.search("slots", 3) == found
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    assert [entry.name for entry in path.parent.iterdir()] == ["topics.db"]


def test_an_index_of_another_python_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "topics.db"
    with monkeypatch.context() as other:
        other.setattr("sys.version_info", (2, 7, 18, "final", 0))
        Library.open(path).close()
    made = path.stat().st_ino

    with Library.open(path) as library:
        assert len(library) > 100
    assert path.stat().st_ino != made


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\x00" + b"\xff" * 4000])
def test_a_broken_index_is_made_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "topics.db"
    path.write_bytes(content)

    with Library.open(path) as library:
        assert library.search("with statement", 1)


def test_two_that_make_it_at_once_both_get_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "topics.db"
    with ThreadPoolExecutor(2) as pool:
        libraries = list(pool.map(lambda _: Library.open(path), range(2)))

    assert len({len(library) for library in libraries}) == 1
    for library in libraries:
        library.close()


def test_threads_share_one_library(library: Library) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: library.search("metaclass", 3), range(20)))

    assert all(one == found[0] for one in found)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(DatabaseUnavailable, match="cannot be written") as caught:
        Library.open(tmp_path / "file" / "topics.db")
    assert caught.value.path == os.fspath(tmp_path / "file" / "topics.db")
