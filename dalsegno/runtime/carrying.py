"""A run is carried over to today's graph: compared, renamed, migrated, or refused with the difference."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dalsegno.checkpoints.interventions import change
from dalsegno.errors import IncompatibleGraph, InputInvalid, as_typed, did_you_mean, quoted
from dalsegno.graphs.langgraph_names import graph_as_it_was
from dalsegno.graphs.model import WorkflowSpec
from dalsegno.graphs.renaming import as_it_was, today
from dalsegno.graphs.workflow import Workflow
from dalsegno.nodes.paths import around, coded, meant, shown
from dalsegno.runtime.code_changes import kept_code
from dalsegno.runtime.compatibility import compare
from dalsegno.runtime.difference import Change, Difference
from dalsegno.runtime.inputs import fitting
from dalsegno.runtime.marks import levels_of
from dalsegno.runtime.migrating import migrated, steps_from, store
from dalsegno.runtime.standing import Before, renamed_shape

if TYPE_CHECKING:
    from dalsegno.checkpoints import RunRecord
    from dalsegno.runtime.runner import Runner

WAS = "was"
"""Where the shape of a run that was carried over keeps the renames it goes on under: ``{old place: today's place}``."""


@dataclass(frozen=True)
class Carried:
    """The graph a run goes on in; `names` maps the places it goes on under to today's (`nodes/paths.py`)."""

    graph: Any
    changes: tuple[Change, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    executed: Mapping[tuple[str, str], int] = field(default_factory=dict)


def difference_of(
    runner: Runner, run: RunRecord, rename: Mapping[str, str] | None = None
) -> tuple[Difference, Mapping[str, str]]:
    """How today's graph differs from the one a run was checkpointed in, and the renames that are in force.

    Raises
    ------
    InputInvalid
        A rename names a node that the run does not know, or that today's graph does not have.
    """
    names = renames(run, runner.spec, {} if rename is None else rename)
    code = kept_code(runner.spec)
    unchanged = run.fingerprint == runner.spec.fingerprint() and run.version == runner.spec.version
    if unchanged and not names:
        before = Before(
            None, run.code or {}, levels_of(runner.checkpointer, run.thread, run.shape, nested=False)
        )
    else:
        done = (e.place for e in runner.ledger.executions(run.run_id) if e.status == "done")
        levels = levels_of(runner.checkpointer, run.thread, run.shape)
        before = Before(run.shape, run.code or {}, levels, frozenset(done), run.version)
    certificate = runner.report.certificate
    # What a run that was carried over has used was not used of what is proved for today's graph.
    compared = runner.is_ours and not unchanged and WAS not in (run.shape or {})
    return (
        compare(
            before,
            runner.spec,
            rename=names,
            code=code,
            bound=certificate.level_supersteps if certificate and compared else None,
            migrated=bool(steps_from(run.version, runner.migrations)),
        ),
        names,
    )


def carry(runner: Runner, run: RunRecord, rename: Mapping[str, str] | None, accept_changes: bool) -> Carried:
    """Bring a run whose thread is held to today's graph, and record that.

    Raises
    ------
    IncompatibleGraph
        It cannot go on in it; `.difference` says why, and the message what would do.
    """
    difference, names = difference_of(runner, run, rename)
    refused = difference.refused(accept_changes)
    if refused:
        raise _refusal(run, difference, refused, rename or {})
    _refuse_what_nobody_finds(runner, run, difference)
    graph, spec = runner.graph, runner.spec
    shaped = run.fingerprint != spec.fingerprint() or WAS in (run.shape or {}) or bool(names)
    executed: Mapping[tuple[str, str], int] = {}
    if shaped and isinstance(runner.source, Workflow):
        used = {level.path: level.used for level in levels_of(runner.checkpointer, run.thread)}
        played = as_it_was(runner.source, names, used)
        graph, spec = played.compile(runner.checkpointer, store=runner.store), played.spec
        done = {
            (e.place, str(e.occurrence)) for e in runner.ledger.executions(run.run_id) if e.status == "done"
        }
        executed = Counter((place, around(number)) for place, number in done)
    elif names:
        graph = graph_as_it_was(graph, names)
    if difference.changes or dict(names) != (run.shape or {}).get(WAS, {}):
        back = {new: old for old, new in names.items()}
        # Where the graph played is today's under both names, the run is kept in those that it began with all the same.
        shape, code = spec.shape(), kept_code(spec)
        if spec is runner.spec and back:
            shape, code = renamed_shape(shape, back), {today(place, back): one for place, one in code.items()}
        _record(runner, run, shape, code, names if shaped else None, difference)
    return Carried(graph, difference.changes, names, executed)


def _refuse_what_nobody_finds(runner: Runner, run: RunRecord, difference: Difference) -> None:
    """A LangGraph graph goes on under the names that it had at its last resume: of a node renamed once more what is
    pending would be dropped without a word."""
    was: Mapping[str, str] = (run.shape or {}).get(WAS, {})
    if not was:
        return
    gone = set(was.values()) - set(was) - set(places_of(runner.spec.shape()))
    for level in levels_of(runner.checkpointer, run.thread, None) if gone else ():
        for name in sorted(level.pending | level.coming):
            if (place := level.path + coded(name)) in gone:
                raise IncompatibleGraph(
                    f"Thread {run.thread!r} cannot go on in this graph: `{shown(place)}` is to run next, by the name "
                    "that it had when the run went on last, and the graph has no such node. Give it that name back to "
                    "go on, or start anew with `run(..., abandon=True)`.",
                    thread=run.thread,
                    difference=difference,
                )


def _record(
    runner: Runner,
    run: RunRecord,
    shape: Mapping[str, Any],
    code: Mapping[str, str | None],
    names: Mapping[str, str] | None,
    difference: Difference,
) -> None:
    """Keep the graph that the run goes on in, and with it the migrated state, in one commit."""
    steps = steps_from(run.version, runner.migrations)
    history = [*(run.shape or {}).get("changes", ()), *(c.words for c in difference.changes)]
    with runner.ledger.database.transaction():
        runner.ledger.database.lock(run.thread)
        if steps:
            migrate(runner, run.thread, run.version)
        change(
            runner.ledger,
            run.run_id,
            version=runner.spec.version,
            fingerprint=runner.spec.fingerprint(),
            shape={
                **shape,
                **({WAS: dict(names)} if names is not None else {}),
                "changes": history[-50:],
            },
            code=code,
        )


def begun_anew(runner: Runner, run: RunRecord) -> Any:
    """The input of a run that nothing was executed of; it, and the state of its thread, are brought to today's graph.

    Raises
    ------
    InputInvalid
        Its input does not fit today's state.
    """
    given, spec = runner.ledger.get(run.run_id).input, runner.spec
    if (run.fingerprint, run.version) == (spec.fingerprint(), spec.version):
        return given
    with runner.ledger.database.transaction():  # all of it, or none
        runner.ledger.database.lock(run.thread)
        migrate(runner, run.thread, run.version)
        present = runner.pending(run.thread).values
        change(
            runner.ledger,
            run.run_id,
            version=spec.version,
            fingerprint=spec.fingerprint(),
            shape=spec.shape(),
            code=kept_code(spec),
        )
        return fitting(given, runner.input_schema, present=present)


def migrate(runner: Runner, thread: str, version: str) -> None:
    """Migrate the state at a thread's mark from that version to today's."""
    config: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
    kept = runner.checkpointer.get_tuple(config)
    steps = steps_from(version, runner.migrations)
    if kept is not None and steps:
        state = migrated(kept, steps, runner.graph, runner.ledger.latest(thread, plain=True))
        store(runner.checkpointer, kept, state, version, runner.spec.version)


def renames(run: RunRecord, spec: WorkflowSpec, asked: Mapping[str, str]) -> dict[str, str]:
    """The renames in force: those the run goes on under already, and those asked for now, by what people read."""
    if not isinstance(asked, Mapping) or not all(isinstance(n, str) for pair in asked.items() for n in pair):
        raise InputInvalid(
            f"rename={asked!r}: it is {{old name: new name}}.", key="rename", expected="mapping"
        )
    kept: dict[str, str] = dict((run.shape or {}).get(WAS, {}))
    then, now = places_of(run.shape or spec.shape()) | set(kept), places_of(spec.shape())
    known_as = {current: original for original, current in kept.items()}
    gone_first = [*known_as, *sorted(then - now), *sorted(then & now)]
    said: dict[str, str] = {}
    for old, new in asked.items():
        place = meant(old, gone_first)
        original = known_as.get(place, place)
        if original not in then:
            raise _wrong(
                old, new, f"the run knows no node `{old}`{did_you_mean(old, map(shown, then)) or '.'}"
            )
        said[original] = new
    for original in sorted(said):  # what is around a node before it
        beside = today(around(original), kept)
        kept[original] = said[original] = _place_now(said[original], f"{beside}/" if beside else "", now)
    for old, new in list(kept.items()):
        if old == new or (new not in now and old not in said):
            del kept[old]  # it has its old name back, or a new one that nobody has said yet
        elif new not in now:
            near = did_you_mean(shown(new), map(shown, now))
            raise _wrong(old, new, f"the graph has no node `{shown(new)}`{near or '.'}")
        elif old in now:
            raise _wrong(old, new, "the graph has both; rename only what is gone.")
    for old, new in kept.items():
        other = next((place for place in sorted(then) if place != old and today(place, kept) == new), None)
        if other is not None:  # what is pending of one of them would be found by nobody
            raise _wrong(
                old, new, f"the run has `{shown(other)}` too, and two of its nodes cannot become one."
            )
    return kept


def _place_now(new: str, level: str, now: Collection[str]) -> str:
    """The place of today that a rename names: by its path, or by a name in the level of what is renamed."""
    if level and "/" not in new:
        return level + coded(new)
    place = meant(new, now, beside=level)
    return place if place in now else own if (own := level + coded(new)) in now else new


def _wrong(old: str, new: str, why: str) -> InputInvalid:
    return InputInvalid(f"--rename {shown(old)}={shown(new)}: {why}", key="rename", expected=None)


def places_of(shape: Mapping[str, Any], path: str = "") -> set[str]:
    """Where each node of a shape is, in subworkflows too."""
    found: set[str] = set()
    for name, node in shape["nodes"].items():
        found.add(path + coded(name))
        if node["child"] is not None:
            found |= places_of(node["child"], f"{path}{coded(name)}/")
    return found


def _in_python(name: str) -> str:
    return json.dumps(name, ensure_ascii=not name.isprintable())


def _refusal(
    run: RunRecord, difference: Difference, refused: tuple[Change, ...], asked: Mapping[str, str]
) -> IncompatibleGraph:
    """What keeps the run from going on, and what would do beside the renames that were asked for."""
    thread = run.thread
    reasons = "; ".join(c.words for c in refused)
    if options := difference.options:
        given = [f"--rename {quoted(f'{old}={new}')}" for old, new in asked.items()]
        names = ", ".join(
            f"{_in_python(old)}: {_in_python(new)}" for old, new in {**asked, **difference.rename}.items()
        )
        arguments = [repr(thread), *([f"rename={{{names}}}"] if names else [])]
        if "--accept-changes" in options.split():
            arguments.append("accept_changes=True")
        way = (
            f"`dalsegno resume {as_typed(thread, ' '.join((*given, options)))}` or "
            f"`Runner.resume({', '.join(arguments)})`"
        )
        way = (
            f"Go on with {way} if that is what became of it"
            if difference.rename
            else f"{way} goes on all the same"
        )
    elif not difference.rename and all(c.kind == "join" for c in refused if not c.can_be_accepted):
        way = "Give the join its old sources back, in their old order, to go on"
    else:
        said = " ".join(
            f"--rename {quoted(f'{old}={new}')}"
            for old, new in (
                *difference.rename.items(),
                *((old, "NEW") for old in difference.unmapped or ("OLD",)),
            )
        )
        way = (
            "Give the node its old name back to go on, or say what it is called now with "
            f"`dalsegno resume {as_typed(thread, said)}`"
        )
    return IncompatibleGraph(
        f"Thread {thread!r} cannot go on in this graph: {reasons}. {way}, or start anew with "
        f"`run(..., abandon=True)`. `dalsegno diff TARGET {as_typed(thread)}` shows every change.",
        thread=thread,
        difference=difference,
    )
