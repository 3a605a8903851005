"""The code of nodes: what is kept of it with a run, and what changed in it since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dalsegno.graphs.code import compiled_by, same_code
from dalsegno.graphs.model import WorkflowSpec
from dalsegno.graphs.shaping import levels_in
from dalsegno.nodes.paths import coded
from dalsegno.runtime.difference import Change, named


def kept_code(spec: WorkflowSpec) -> dict[str, str | None]:
    """What is kept of each node's code (`graphs/code.py`), by its place; of those of subworkflows too."""
    return {
        prefix + coded(name): node.code.kept if node.code is not None else None
        for level, prefix in levels_in(spec)
        for name, node in level.nodes.items()
    }


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
