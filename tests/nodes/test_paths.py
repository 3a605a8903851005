"""A place comes apart into the names that it was made of, whatever they are; people read the names as written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dalsegno.nodes.paths import around, coded, meant, name_of, names_of, prefix_of, shown

names = st.text(st.sampled_from("ab/#2F3%.\\ é"), min_size=1) | st.text(min_size=1).filter(
    lambda name: not {":", "|"} & set(name)  # no node may have one in its name
)


@given(st.lists(names, min_size=1, max_size=4))
def test_a_place_comes_apart_into_its_names(path: list[str]) -> None:
    place = "/".join(map(coded, path))
    assert names_of(place) == tuple(path)
    assert name_of(place) == path[-1]
    assert names_of(around(place)) == tuple(path[:-1])
    assert prefix_of(place) + coded(path[-1]) == place
    assert shown(place) == "/".join(path)
    assert "#" not in place  # by which it is told from the number of an execution


def test_most_places_are_paths_as_they_are_read() -> None:
    for path in ("write", "sub/write", "__start__", "a b", "100 %", "é"):
        assert "/".join(map(coded, path.split("/"))) == path


def test_what_is_meant_by_a_path_is_next_to_what_it_is_asked_for() -> None:
    places = ["a", "a/b", "a|2Fb", "sub/a|2Fb"]
    assert meant("a/b", places) == "a|2Fb"
    assert meant("a/b", places, beside="a/c") == "a/b"
    assert meant("sub/a/b", places) == "sub/a|2Fb"
    assert meant("nobody/knows", places) == "nobody/knows"
