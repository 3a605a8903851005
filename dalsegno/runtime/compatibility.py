"""Whether a run can go on in a graph that is not the one it was checkpointed with.

Pure: the shape that was kept with the run, the mark it stands at, and today's specification go in; a
`Difference` comes out. LangGraph makes no such comparison: it skips a node that was inserted before the pending one,
and ends "successfully" where the pending one was renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dalsegno.graphs.model import WorkflowSpec
from dalsegno.graphs.renaming import today
from dalsegno.nodes.paths import names_of, prefix_of, shown
from dalsegno.runtime.code_changes import code_changes
from dalsegno.runtime.difference import Change, Difference
from dalsegno.runtime.level_changes import LevelComparison
from dalsegno.runtime.standing import Before, shape_at


def compare(
    before: Before,
    spec: WorkflowSpec,
    *,
    rename: Mapping[str, str] | None = None,
    code: Mapping[str, str | None] | None = None,
    bound: int | None = None,
    migrated: bool = False,
) -> Difference:
    """What is different, and whether the run can go on.

    Parameters
    ----------
    before
        The run as it was kept.
    spec
        Today's graph.
    rename
        `{old place: today's place}` of nodes (``"sub/draft"``, see `nodes/paths.py`).
    code
        Hashes of today's nodes by their places.
    bound
        The supersteps proved for the outermost workflow.
    migrated
        The outermost state has been migrated, so that its keys are meant to differ.
    """
    asked, suggested = dict(rename or {}), dict[str, str]()
    told: list[Change] = []
    while True:
        # What a rename would map is told once, and the rest as it is under that rename.
        found, more = _compared(before.renamed(asked), spec, code or {}, bound, migrated)
        if not more:
            still = {(c.kind, c.where) for c in found}
            mapped = (replace(c, mapped=True) for c in told if (c.kind, c.where) not in still)
            return Difference((*mapped, *found), {shown(old): shown(new) for old, new in suggested.items()})
        told += (c for c in found if c.verdict == "needs mapping")
        back = {new: old for old, new in asked.items()}
        more = {today(old, back): new for old, new in more.items()}
        suggested |= more
        asked |= more


def _compared(
    before: Before, spec: WorkflowSpec, code: Mapping[str, str | None], bound: int | None, migrated: bool
) -> tuple[list[Change], dict[str, str]]:
    """What changed, and the renames that would map what is missing."""
    kept = before.shape or spec.shape()
    found: list[Change] = []
    suggested: dict[str, str] = {}
    if kept["name"] != spec.name:
        found.append(Change("name", spec.name, f"the workflow was called `{kept['name']}`"))
    if before.version != spec.version and before.shape:
        words = f"this is version {spec.version}, and the run was in version {before.version}"
        found.append(Change("version", spec.version, words))
    active = {level.path for level in before.levels}
    for level in before.levels:
        then, now = shape_at(kept, level.path), _spec_at(spec, level.path)
        if now is None:
            continue  # told where the node that holds it is missing or changed its kind
        comparison = LevelComparison(
            level,
            then or now.shape(),
            now,
            before.done,
            before.code,
            code,
            active,
            migrated and not level.path,
        )
        found += comparison.changes()
        suggested |= comparison.suggested
        if not level.path and bound is not None and level.pending and level.used >= bound:
            words = f"{bound} supersteps are proved for it, and the run has used {level.used}"
            found.append(Change("bound", spec.name, words, "unsafe"))
    # What the run is not in the middle of is compared by its shape, with the node that holds it; and by its code.
    compared = {level.path for level in before.levels}
    inside = [place for place in sorted(before.code) if prefix_of(place) not in compared]
    if before.levels:
        found += code_changes((shown(place), before.code[place], code.get(place)) for place in inside)
    return found, suggested


def _spec_at(spec: WorkflowSpec, path: str) -> WorkflowSpec | None:
    found: WorkflowSpec | None = spec
    for name in names_of(path.removesuffix("/")):
        node = found.nodes.get(name) if found else None
        found = node.child if node else None
    return found
