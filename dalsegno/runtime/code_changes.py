"""What changed in the code of nodes since a run was checkpointed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dalsegno.graphs.code import compiled_by, same_code
from dalsegno.runtime.difference import Change, named


def code_changes(nodes: Iterable[tuple[str, str | None, str | None]]) -> Iterator[Change]:
    """What changed in the code of nodes: of each its path, and what is kept of its code then and now."""
    unknown: list[tuple[str, str, str]] = []
    for path, was, is_ in nodes:
        if was is None or is_ is None:
            continue
        same = same_code(was, is_)
        if same is False:
            yield Change("code", path, f"the code of `{path}` changed")
        elif same is None:
            unknown.append((path, compiled_by(was), compiled_by(is_)))
    if unknown:
        path, was, is_ = unknown[0]
        yield Change(
            "code",
            path,
            f"the run was made by {was}, and this is {is_}: whether the code of "
            f"{named(path for path, *_ in unknown)} changed cannot be told without its source",
        )
