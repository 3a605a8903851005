"""A run is gone on with in a graph that changed: where that is safe, mapped by names, or refused by name."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langgraph.graph import StateGraph
from langgraph.types import Command, Send, interrupt

from dalsegno import END, START, Each, Loop, Runner, Workflow, effect
from dalsegno.errors import IncompatibleGraph, InputInvalid, ThreadUnfinished
from dalsegno.graphs.langgraph_names import graph_as_it_was
from dalsegno.graphs.renaming import as_it_was
from dalsegno.nodes import current_execution
from dalsegno.runtime.difference import Difference
from dalsegno.runtime.events import Event, NodeStarted, RunStarted


def begun(flow: Any, db: Path, world: Any, broken: str, value: Any = None) -> str:
    """Run a workflow on thread t1 until `broken` fails; gives the run's id."""
    world.broken.add(broken)
    with Runner(flow, db=db) as runner:
        result = runner.run(value or {"topic": "x"}, thread="t1")
    assert result.status == "failed", result
    world.broken.clear()
    world.seen.clear()
    return result.run_id


def refused(flow: Any, db: Path, **options: Any) -> Difference:
    with Runner(flow, db=db) as runner, pytest.raises(IncompatibleGraph) as raised:
        runner.resume("t1", **options)
    difference: Difference = raised.value.difference
    assert all(words in str(raised.value) for words in (c.words for c in difference.refused()))
    return difference


def resumed(flow: Any, db: Path, **options: Any) -> Any:
    with Runner(flow, db=db) as runner:
        return runner.resume("t1", **options)


# -- the same, and compatible ---------------------------------------------------------------------


def test_the_same_graph_goes_on_and_nothing_is_told(world: Any, db: Path) -> None:
    begun(world.chain("a", "b"), db, world, "b")
    heard: list[Event] = []
    with Runner(world.chain("a", "b"), db=db, on_event=heard.append) as runner:
        assert runner.difference("t1").verdict == "same"
        assert runner.resume("t1").status == "completed"
    assert [e.changes for e in heard if isinstance(e, RunStarted)] == [()]


def test_a_node_added_downstream_is_gone_on_with_and_told(world: Any, db: Path) -> None:
    begun(world.chain("a", "b"), db, world, "b")
    heard: list[Event] = []
    with Runner(world.chain("a", "b", "c"), db=db, on_event=heard.append) as runner:
        assert runner.difference("t1").verdict == "compatible"
        result = runner.resume("t1")
    assert result.output["path"] == ["a", "b", "c"]
    assert world.seen == ["b", "c"]
    told = next(e for e in heard if isinstance(e, RunStarted)).changes
    assert [(c.kind, c.where) for c in told] == [("node", "c"), ("ways", "b")]


def test_changed_code_is_compatible_and_told(world: Any, db: Path) -> None:
    flow = world.chain("a", "b")
    begun(flow, db, world, "b")
    flow.nodes["b"].action = lambda state: {"path": ["rewritten"]}
    with Runner(flow, db=db) as runner:
        assert [(c.kind, c.where) for c in runner.difference("t1").changes] == [("code", "b")]
        assert runner.resume("t1").output["path"] == ["a", "rewritten"]


def test_the_graph_a_run_goes_on_in_is_what_the_next_resume_compares_with(world: Any, db: Path) -> None:
    begun(world.chain("a", "b"), db, world, "b")
    world.broken.add("c")
    assert resumed(world.chain("a", "b", "c"), db).status == "failed"
    world.broken.clear()
    assert refused(world.chain("a", "b"), db).changes[0].where == "c"
    assert resumed(world.chain("a", "b", "c"), db).status == "completed"


# -- needs mapping --------------------------------------------------------------------------------


def test_a_renamed_pending_node_names_the_rename_that_would_do(world: Any, db: Path) -> None:
    begun(world.chain("a", "b", "c"), db, world, "b")
    difference = refused(world.chain("a", "beta:b", "c"), db)
    assert difference.verdict == "needs mapping"
    assert difference.rename == {"b": "beta"}
    assert difference.options == "--rename b=beta"
    assert world.seen == []


def test_a_rename_cannot_be_waved_through(world: Any, db: Path) -> None:
    begun(world.chain("a", "b", "c"), db, world, "b")
    assert refused(world.chain("a", "beta:b", "c"), db, accept_changes=True).verdict == "needs mapping"


@pytest.mark.parametrize("asked", [{}, {"b": "beta"}])
def test_what_a_refusal_proposes_is_enough(world: Any, db: Path, asked: dict[str, str]) -> None:
    """Of a rename and an insertion, and where the rename was asked for: it names both."""
    begun(world.chain("a", "b", "c"), db, world, "b")
    with Runner(world.chain("first:a", "beta:b", "c"), db=db) as runner:
        with pytest.raises(IncompatibleGraph) as raised:
            runner.resume("t1", rename=asked)
        assert "`dalsegno resume t1 --rename b=beta --accept-changes`" in str(raised.value)
        call = re.search(r"`Runner\.(resume\(.*?\))`", str(raised.value))
        assert call is not None
        assert eval(f"runner.{call[1]}").status == "completed"
    assert world.seen == ["b", "c"]


def test_new_input_is_refused_where_this_graph_does_not_have_what_is_pending(world: Any, db: Path) -> None:
    begun(world.chain("a", "b", "c"), db, world, "b")
    for other in (world.chain("a", "beta:b", "c"), world.chain("z", name="another")):
        with (
            Runner(other, db=db) as runner,
            pytest.raises(ThreadUnfinished, match="failed, with `b` pending"),
        ):
            runner.run({"topic": "y"}, thread="t1")
    assert world.seen == []
    with Runner(world.chain("a", "beta:b", "c"), db=db) as runner:
        assert runner.run({"topic": "y"}, thread="t1", abandon=True).status == "completed"
        assert runner.run({"topic": "z"}, thread="t1").status == "completed"


def test_so_is_new_input_over_a_run_that_was_renamed_and_failed_again(world: Any, db: Path) -> None:
    begun(world.chain("a", "b", "c"), db, world, "b")
    world.broken.add("c")
    changed = world.chain("a", "beta:b", "gamma:c")
    assert resumed(changed, db, rename={"b": "beta", "c": "gamma"}).status == "failed"
    with Runner(changed, db=db) as runner, pytest.raises(ThreadUnfinished):
        runner.run({"topic": "y"}, thread="t1")


def test_new_input_is_refused_where_what_is_pending_was_come_to_by_a_join_that_is_gone(
    world: Any, db: Path
) -> None:
    begins: list[tuple[str | list[str], str]] = [(START, "a"), (START, "b"), ("c", END)]
    begun(joined(world, *begins, (["a", "b"], "c")), db, world, "c")
    now = joined(world, *begins, ("a", "c"), ("b", "c"))
    with Runner(now, db=db) as runner:
        with pytest.raises(ThreadUnfinished, match="failed, with `c` pending"):
            runner.run({"topic": "y"}, thread="t1")
        assert world.seen == []
        assert runner.run({"topic": "y"}, thread="t1", abandon=True).status == "completed"
        assert runner.run({"topic": "z"}, thread="t1").status == "completed"


def test_where_nothing_can_be_suggested_no_option_is_told_that_would_not_do(world: Any, db: Path) -> None:
    begun(world.chain("a", "b", "c"), db, world, "b")
    difference = refused(world.chain("a", "c"), db)
    assert (difference.verdict, difference.rename, difference.options) == ("needs mapping", {}, "")
    with Runner(world.chain("a", "c"), db=db) as runner, pytest.raises(IncompatibleGraph) as raised:
        runner.resume("t1", accept_changes=True)
    assert "`dalsegno resume t1 --rename b=NEW`" in str(raised.value)
    assert "--accept-changes" not in str(raised.value)


def test_the_command_for_a_thread_whose_name_begins_with_a_dash_has_its_options_first(
    world: Any, db: Path
) -> None:
    world.broken.add("b")
    with Runner(world.chain("a", "b"), db=db) as runner:
        runner.run({"topic": "x"}, thread="-x")
    for flow, command in (
        (world.chain("a", "beta:b"), "dalsegno resume --rename b=beta -- -x"),
        (world.chain("a"), "dalsegno resume --rename b=NEW -- -x"),
        (world.chain("a", "new", "b"), "dalsegno resume --accept-changes -- -x"),
    ):
        with Runner(flow, db=db) as runner, pytest.raises(IncompatibleGraph) as raised:
            runner.resume("-x")
        assert f"`{command}`" in str(raised.value)


def test_where_a_rename_is_known_of_some_only_it_is_not_said_to_be_enough(world: Any, db: Path) -> None:
    def side_by_side(*names: str) -> Workflow:
        flow = Workflow("sides", State)
        for name in names:
            flow.add_node(name, world.node(name)).add_edge(START, name).add_edge(name, END)
        return flow

    world.broken |= {"draft", "zq"}
    begun(side_by_side("draft", "zq"), db, world, "draft")
    changed = side_by_side("drafts")
    difference = refused(changed, db)
    assert (difference.rename, difference.options) == ({"draft": "drafts"}, "")
    assert difference.unmapped == ("zq",)
    with Runner(changed, db=db) as runner, pytest.raises(IncompatibleGraph) as raised:
        runner.resume("t1", rename=difference.rename, accept_changes=True)
    assert "`dalsegno resume t1 --rename zq=NEW`" in str(raised.value)


def test_each_of_several_renamed_nodes_gets_the_name_that_is_most_like_its_own(world: Any, db: Path) -> None:
    # By code they are all alike. `mix_new` is the nearest to `mix_end` too, which has a nearer one; and of names
    # that are as near, one that holds the old one is nearer.
    names = {"mix": "mix_new", "mix_end": "mix_new_end", "mixw": "mixw_new", "pour": "pour_new"}
    begun(world.chain("a", *names), db, world, "mixw")
    assert refused(world.chain("a", *names.values()), db).rename == {"mixw": "mixw_new"}


def test_a_renamed_subworkflow_is_known_by_what_is_in_it(world: Any, db: Path) -> None:
    def outer(part: str, last: str) -> Workflow:
        made = Workflow("outer", State).add_node(part, world.chain("x", "y")).add_node(last, world.node("z"))
        return made.add_edge(START, part).add_edge(part, last).add_edge(last, END)

    begun(outer("part", "last"), db, world, "y")
    changed = outer("qqq", "www")
    assert refused(changed, db).rename == {"part": "qqq"}
    assert resumed(changed, db, rename={"part": "qqq"}).output["path"].count("x") == 1


def test_after_the_rename_the_run_goes_on_and_keeps_its_idempotency_keys(world: Any, db: Path) -> None:
    begun(world.chain("a", "b", "c"), db, world, "b")
    heard: list[Event] = []
    with Runner(world.chain("a", "beta:b", "c"), db=db, on_event=heard.append) as runner:
        result = runner.resume("t1", rename={"b": "beta"})
        assert result.output["path"] == ["a", "b", "c"]
        assert [e.node for e in runner.ledger.executions(result.run_id)] == ["a", "b", "b", "c"]
    assert world.seen == ["b", "c"]
    failed, again = (key for name, key in world.keys if name == "b")
    assert failed == again
    assert [e.node for e in heard if type(e) is NodeStarted] == ["beta", "c"]


def test_a_rename_holds_for_the_rest_of_the_run(world: Any, db: Path) -> None:
    begun(world.chain("a", "b", "c"), db, world, "b")
    world.broken.add("b")
    renamed = world.chain("a", "beta:b", "c")
    assert resumed(renamed, db, rename={"b": "beta"}).error["node"] == "beta"
    world.broken.clear()
    assert resumed(renamed, db).output["path"] == ["a", "b", "c"]


def test_a_node_can_be_renamed_again_or_back(world: Any, db: Path) -> None:
    begun(world.chain("a", "b", "c"), db, world, "b")
    world.broken.add("b")
    resumed(world.chain("a", "beta:b", "c"), db, rename={"b": "beta"})
    assert refused(world.chain("a", "gamma:b", "c"), db).rename == {"b": "gamma"}
    resumed(world.chain("a", "gamma:b", "c"), db, rename={"beta": "gamma"})
    world.broken.clear()
    assert resumed(world.chain("a", "b", "c"), db).output["path"] == ["a", "b", "c"]


def test_a_rename_that_names_nothing_is_refused(world: Any, db: Path) -> None:
    begun(world.chain("a", "b", "c"), db, world, "b")
    flow = world.chain("a", "beta:b", "c")
    for rename, words in (({"bb": "beta"}, "knows no node `bb`"), ({"b": "betta"}, "did you mean `beta`")):
        with Runner(flow, db=db) as runner, pytest.raises(InputInvalid, match=words):
            runner.resume("t1", rename=rename)
    with Runner(flow, db=db) as runner, pytest.raises(InputInvalid, match="has both"):
        runner.resume("t1", rename={"a": "beta"})


@pytest.mark.parametrize("rename", [["b"], {"b": None}, {1: "b"}], ids=str)
def test_a_rename_maps_names_to_names(world: Any, db: Path, rename: Any) -> None:
    begun(world.chain("a", "b"), db, world, "b")
    with (
        Runner(world.chain("a", "b"), db=db) as runner,
        pytest.raises(InputInvalid, match="old name: new name"),
    ):
        runner.resume("t1", rename=rename)


@pytest.mark.parametrize(
    ("now", "rename", "words"),
    [
        ("axy", {"b": "x", "c": "x"}, "`c` too, and two of its nodes cannot become one"),
        ("ac", {"b": "c"}, "`c` too, and two of its nodes cannot become one"),
        ("abc", {"b": "c", "c": "b"}, "the graph has both"),
    ],
)
def test_two_nodes_of_a_run_cannot_become_one(
    world: Any, db: Path, now: str, rename: dict[str, str], words: str
) -> None:
    """What is pending of one of them would be called what nobody is called, and the run be completed without it."""
    world.broken.add("b")
    with Runner(world.chain("a", "b", "c"), db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
    world.broken.clear()
    with Runner(world.chain(*now), db=db) as runner, pytest.raises(InputInvalid, match=words):
        runner.resume("t1", rename=rename)


def test_a_finished_sibling_whose_node_was_renamed_is_not_lost(world: Any, db: Path) -> None:
    def flow(name: str) -> Workflow:
        made = Workflow("two", State)
        made.add_node(name, world.node("one")).add_node("two", world.node("two"))
        for node in (name, "two"):
            made.add_edge(START, node).add_edge(node, END)
        return made

    world.beside["two"] = "one"
    begun(flow("one"), db, world, "two")
    assert refused(flow("uno"), db).rename == {"one": "uno"}
    assert sorted(resumed(flow("uno"), db, rename={"one": "uno"}).output["path"]) == ["one", "two"]
    assert world.seen == ["two"]


def test_where_a_finished_sibling_leads_must_be_there(world: Any, db: Path) -> None:
    def flow(last: str) -> Workflow:
        made = Workflow("two", State)
        for name in ("one", "two"):
            made.add_node(name, world.node(name)).add_edge(START, name)
        made.add_node(last, world.node("last"))
        return made.add_edge("one", last).add_edge("two", END).add_edge(last, END)

    world.beside["two"] = "one"
    begun(flow("last"), db, world, "two")
    assert refused(flow("ultimate"), db).rename == {"last": "ultimate"}
    assert resumed(flow("ultimate"), db, rename={"last": "ultimate"}).output["path"] == ["one", "two", "last"]


def test_a_join_goes_on_with_what_it_has_seen_when_a_node_of_it_is_renamed(world: Any, db: Path) -> None:
    def flow(slow: str, end: str) -> Workflow:
        made = Workflow("join", State)
        made.add_node("quick", world.node("quick")).add_node(slow, world.node("slow"))
        made.add_node("before", world.node("before")).add_node(end, world.node("end"))
        made.add_edge(START, "quick").add_edge(START, "before").add_edge("before", slow)
        return made.add_edge(["quick", slow], end).add_edge(end, END)

    begun(flow("slow", "end"), db, world, "slow")
    renamed = flow("lento", "fine")
    assert set(refused(renamed, db).rename) == {"slow", "end"}
    done = resumed(renamed, db, rename={"slow": "lento", "end": "fine"})
    assert done.output["path"] == ["before", "quick", "slow", "end"] or done.output["path"][2:] == [
        "slow",
        "end",
    ]
    assert world.seen == ["slow", "end"]


def test_sends_to_a_renamed_node_arrive(world: Any, db: Path) -> None:
    def flow(work: str) -> Workflow:
        def run(item: int) -> dict[str, Any]:
            world.seen.append(str(item))
            if str(item) in world.broken:
                raise ValueError(item)
            return {"path": [str(item)]}

        made = Workflow("fan", State)
        made.add_node("plan", world.node("plan")).add_node(work, run)
        made.add_edge(START, "plan").add_edge(work, END)
        return made.add_conditional_edges(
            "plan", lambda s: [Send(work, i) for i in range(3)], [Each(work, max=3)]
        )

    begun(flow("work"), db, world, "1")
    assert refused(flow("labour"), db).rename == {"work": "labour"}
    assert resumed(flow("labour"), db, rename={"work": "labour"}).output["path"] == ["plan", "0", "1", "2"]
    assert world.seen == ["1"]


def test_routers_and_commands_that_name_a_renamed_node_find_it(world: Any, db: Path) -> None:
    def flow(last: str) -> Workflow:
        def choose(state: State) -> Any:
            world.seen.append("choose")
            if "choose" in world.broken:
                raise ValueError
            return Command(goto=last, update={"path": ["choose"]})

        made = Workflow("commands", State)
        made.add_node("choose", choose, destinations=(last, "other")).add_node(last, world.node("last"))
        made.add_node("other", world.node("other")).add_edge(START, "choose").add_edge("other", END)
        return made.add_conditional_edges(
            last,
            lambda s: last if s["path"].count("last") < 2 else "end",
            {last: Loop(last, max=3, on_exhausted=END), "end": END},
        )

    begun(flow("last"), db, world, "last")
    done = resumed(flow("ultimate"), db, rename={"last": "ultimate"})
    assert done.output["path"] == ["choose", "last", "last"]


# -- loops ----------------------------------------------------------------------------------------


def looping(
    world: Any, *, again: str = "again", top: str = "a", most: int = 3, router: Any = None
) -> Workflow:
    made = Workflow("loop", State)
    made.add_node(top, world.node("a")).add_node("b", world.node("b"))
    made.add_edge(START, top).add_edge(top, "b")

    def decide(state: State) -> str:
        if len(state["path"]) == 6 and "stop" in world.broken:
            raise ValueError("stop")
        return again

    return made.add_conditional_edges(
        "b", router or decide, {again: Loop(top, max=most, on_exhausted=END), "end": END}
    )


def test_a_loop_keeps_its_count_over_a_rename(world: Any, db: Path) -> None:
    begun(looping(world), db, world, "stop")
    assert refused(looping(world, top="alpha"), db).rename == {"a": "alpha"}
    done = resumed(looping(world, top="alpha"), db, rename={"a": "alpha"})
    assert done.output["path"] == ["a", "b"] * 4


def test_a_bound_below_what_was_used_is_refused_unless_accepted(world: Any, db: Path) -> None:
    begun(looping(world), db, world, "stop")
    difference = refused(looping(world, most=1), db)
    assert (difference.verdict, difference.options) == ("unsafe", "--accept-changes")
    assert any(c.kind == "bound" and "taken it 2 times" in c.words for c in difference.changes)


def test_a_bound_that_is_lower_but_not_used_up_is_compatible(world: Any, db: Path) -> None:
    begun(looping(world), db, world, "stop")
    assert resumed(looping(world, most=2), db).output["path"] == ["a", "b"] * 3


def test_a_loop_counted_under_another_name_is_refused(world: Any, db: Path) -> None:
    begun(looping(world), db, world, "stop")
    difference = refused(looping(world, again="once more"), db)
    assert any(c.kind == "loop" and "start from zero" in c.words for c in difference.changes)
    done = resumed(looping(world, again="once more"), db, accept_changes=True)
    assert done.output["path"] == ["a", "b"] * 6


@pytest.mark.parametrize("change", [{"most": 1}, {"again": "once more"}, {}], ids=str)
def test_what_was_accepted_once_is_not_asked_for_again(world: Any, db: Path, change: dict[str, Any]) -> None:
    begun(looping(world), db, world, "stop")
    changed = looping(world, **change) if change else world.chain("b", name="loop")
    assert refused(changed, db).options == "--accept-changes"
    world.broken |= {"stop", "b"}
    assert resumed(changed, db, accept_changes=True).status == "failed"
    world.broken.clear()
    with Runner(changed, db=db) as runner:
        assert runner.difference("t1").verdict == "same"
        assert runner.resume("t1").status == "completed"


def test_a_node_that_ran_once_keeps_its_keys_apart_when_a_loop_leads_back_to_it(world: Any, db: Path) -> None:
    begun(world.chain("a", "b", name="loop"), db, world, "b")
    resumed(looping(world), db, accept_changes=True)
    keys = [key for name, key in world.keys if name == "a"]
    assert len(keys) == len(set(keys)) == 4


def test_so_does_one_in_a_subworkflow(world: Any, db: Path) -> None:
    def outer(inner: Workflow) -> Workflow:
        made = Workflow("outer", State)
        return made.add_node("part", inner).add_edge(START, "part").add_edge("part", END)

    begun(outer(world.chain("a", "b", name="loop")), db, world, "b")
    resumed(outer(looping(world)), db, accept_changes=True)
    keys = [key for name, key in world.keys if name == "a"]
    assert len(keys) == len(set(keys)) == 4


# -- unsafe ---------------------------------------------------------------------------------------


def test_a_node_inserted_before_the_pending_one_is_refused(world: Any, db: Path) -> None:
    begun(world.chain("a", "b"), db, world, "b")
    difference = refused(world.chain("a", "new", "b"), db)
    assert difference.verdict == "unsafe"
    (change,) = difference.refused()
    assert (change.kind, change.where) == ("inserted", "new")
    assert "before `b`" in change.words
    assert resumed(world.chain("a", "new", "b"), db, accept_changes=True).output["path"] == ["a", "b"]


def test_a_node_inserted_before_what_is_done_is_refused(world: Any, db: Path) -> None:
    begun(world.chain("a", "b", "c"), db, world, "c")
    assert [c.where for c in refused(world.chain("a", "new", "b", "c"), db).refused()] == ["new"]


def joined(world: Any, *edges: tuple[str | list[str], str]) -> Workflow:
    made = Workflow("joined", State)
    for name in sorted({target for _, target in edges} - {END}):
        made.add_node(name, world.node(name))
    for source, target in edges:
        made.add_edge(source, target)
    return made


def test_a_join_of_a_node_that_the_run_has_passed_is_refused(world: Any, db: Path) -> None:
    then = joined(world, (START, "a"), ("a", "b"), ("b", "c"), ("c", END))
    now = joined(world, (START, "a"), ("a", "b"), (["a", "b"], "c"), ("c", END))
    begun(then, db, world, "b")
    (change,) = refused(now, db).refused()
    assert (change.kind, change.where, change.verdict) == ("join", "c", "unsafe")
    assert "has passed `a`: it would never run" in change.words
    assert resumed(now, db, accept_changes=True).output["path"] == ["a", "b"]


@pytest.mark.parametrize(
    ("now", "kind"),
    [
        ([(["one", "two"], "c")], "join"),
        ([("one", "c"), ("two", END)], "inserted"),
    ],
)
def test_so_is_a_new_way_from_a_sibling_that_has_finished(
    world: Any, db: Path, now: list[tuple[str | list[str], str]], kind: str
) -> None:
    begins: list[tuple[str | list[str], str]] = [(START, "one"), (START, "two"), ("c", END)]
    world.beside["two"] = "one"
    begun(joined(world, *begins, ("one", END), ("two", "c")), db, world, "two")
    (change,) = refused(joined(world, *begins, *now), db).refused()
    assert (change.kind, change.where) == (kind, "c")


def test_so_is_a_join_of_a_node_that_another_join_has_let_by(world: Any, db: Path) -> None:
    begins: list[tuple[str | list[str], str]] = [
        (START, "a"), (START, "b"), (["a", "b"], "c"), ("b", "d"), ("e", END),
    ]  # fmt: skip
    world.beside["d"] = "c"
    begun(joined(world, *begins, (["b", "c", "d"], "e")), db, world, "d")
    (change,) = refused(joined(world, *begins, (["c", "d"], "e")), db).refused()
    assert (change.kind, change.where) == ("join", "e")


@pytest.mark.parametrize("sources", [["b", "a"], ["a", "b", "d"]])
def test_a_join_whose_sources_are_others_is_to_have_the_old_ones(
    world: Any, db: Path, sources: list[str]
) -> None:
    begins: list[tuple[str | list[str], str]] = [(START, "a"), ("a", "b"), ("b", "d"), ("c", END), ("d", END)]
    begun(joined(world, *begins, (["a", "b"], "c")), db, world, "b")
    with (
        Runner(joined(world, *begins, (sources, "c")), db=db) as runner,
        pytest.raises(IncompatibleGraph, match="Give the join its old sources back, in their old order"),
    ):
        runner.resume("t1")


def test_a_join_that_is_gone_is_none_where_the_run_comes_to_its_node_all_the_same(
    world: Any, db: Path
) -> None:
    then = joined(world, (START, "a"), ("a", "b"), ("b", "d"), (["a", "d"], "c"), ("c", END))
    begun(then, db, world, "b")
    now = joined(world, (START, "a"), ("a", "b"), ("b", "d"), ("d", "c"), ("c", END))
    with Runner(now, db=db) as runner:
        assert ("join", "c", "compatible") in [
            (c.kind, c.where, c.verdict) for c in runner.difference("t1").changes
        ]
        assert runner.resume("t1").output["path"] == ["a", "b", "d", "c"]


def test_a_join_of_what_is_to_come_goes_on(world: Any, db: Path) -> None:
    then = joined(world, (START, "a"), ("a", "b"), ("b", "c"), ("c", "d"), ("d", END))
    now = joined(world, (START, "a"), ("a", "b"), ("b", "c"), (["b", "c"], "d"), ("d", END))
    begun(then, db, world, "b")
    assert resumed(now, db).output["path"] == ["a", "b", "c", "d"]


def test_so_does_a_run_that_has_passed_all_of_a_new_join(world: Any, db: Path) -> None:
    then = joined(world, (START, "a"), ("a", "b"), ("b", "c"), ("c", "d"), ("d", END))
    now = joined(world, (START, "a"), ("a", "b"), (["a", "b"], "c"), ("c", "d"), ("d", END))
    begun(then, db, world, "d")
    assert resumed(now, db).output["path"] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("kind", ["done", "asks", "inside"])
def test_a_node_that_has_begun_is_not_begun_again_because_other_joins_lead_to_it(
    world: Any, db: Path, kind: str
) -> None:
    def flow(ways: list[tuple[str | list[str], str]]) -> Workflow:
        c: Any = world.node("c")
        if kind == "asks":
            c = lambda state: {"path": [interrupt("Go on?")]}  # noqa: E731
        elif kind == "inside":
            c = world.chain("p", "q", name="inner")
        made = Workflow("joined", State).add_node("a", world.node("a")).add_node("b", world.node("b"))
        made.add_node("c", c, interrupts=1 if kind == "asks" else 0).add_node("d", world.node("d"))
        made.add_edge(START, "a").add_edge(START, "b").add_edge("b", "d").add_edge("c", END).add_edge(
            "d", END
        )
        for source, target in ways:
            made.add_edge(source, target)
        return made

    then, now = flow([("a", "c")]), flow([(["a", "b"], "c")])
    if kind == "asks":
        with Runner(then, db=db) as runner:
            assert runner.run({"topic": "x"}, thread="t1").status == "interrupted"
        world.seen.clear()
    else:
        world.beside["d"] = "c"
        begun(then, db, world, "q" if kind == "inside" else "d")
    (change,) = refused(now, db, value="yes" if kind == "asks" else None).refused()
    assert (change.kind, change.where, change.verdict) == ("join", "c", "unsafe")
    assert world.seen == []
    assert resumed(then, db, value="yes" if kind == "asks" else None).status == "completed"
    assert world.seen == {"done": ["d"], "asks": [], "inside": ["q"]}[kind]


@pytest.mark.parametrize("then", [False, True])
@pytest.mark.parametrize("broken", ["b", "c", "d"])
def test_defer_may_change_where_nothing_has_been_waited_for(
    world: Any, db: Path, then: bool, broken: str
) -> None:
    def flow(defer: bool) -> Workflow:
        made = Workflow("deferred", State)
        for name in "axbcd":
            made.add_node(name, world.node(name), defer=defer and name == "c")
        made.add_edge(START, "a").add_edge("a", "x").add_edge("x", "b")
        return made.add_edge(["a", "b"], "c").add_edge("c", "d").add_edge("d", END)

    begun(flow(then), db, world, broken)
    now = flow(not then)
    with Runner(now, db=db) as runner:
        difference = runner.difference("t1")
    assert [(c.where, c.verdict) for c in difference.changes if c.kind == "defer"] == [
        ("c", "compatible" if broken == "d" else "unsafe")
    ]
    if broken != "d":
        refused(now, db)
    assert resumed(now, db, accept_changes=True).output["path"] == ["a", "x", "b", "c", "d"]
    with Runner(flow(then), db=db) as runner:  # nor does it matter to the next turn
        assert runner.run({"topic": "y"}, thread="t1").output["path"][5:] == ["a", "x", "b", "c", "d"]


class State(TypedDict, total=False):
    topic: str
    path: Annotated[list[str], operator.add]
    count: int


class WithoutTopic(TypedDict, total=False):
    path: Annotated[list[str], operator.add]
    count: int


class CountIsText(TypedDict, total=False):
    topic: str
    path: Annotated[list[str], operator.add]
    count: str


class PathIsReplaced(TypedDict, total=False):
    topic: str
    path: list[str]
    count: int


class More(State, total=False):
    more: str


@pytest.mark.parametrize(
    ("schema", "verdict", "where"),
    [
        (WithoutTopic, "unsafe", "topic"),
        (PathIsReplaced, "unsafe", "path"),
        (CountIsText, "compatible", "count"),
        (More, "compatible", "more"),
    ],
)
def test_a_state_key_in_use_that_is_gone_or_changed_is_refused(
    world: Any, db: Path, schema: Any, verdict: str, where: str
) -> None:
    begun(world.chain("a", "b", schema=State), db, world, "b")
    with Runner(world.chain("a", "b", schema=schema), db=db) as runner:
        difference = runner.difference("t1")
        assert (difference.verdict, [c.where for c in difference.changes]) == (verdict, [where])
        if verdict == "unsafe":
            with pytest.raises(IncompatibleGraph, match=where):
                runner.resume("t1")
            assert runner.resume("t1", accept_changes=True).status == "completed"
        else:
            assert runner.resume("t1").status == "completed"


def test_a_refused_resume_leaves_the_run_as_it_was(world: Any, db: Path) -> None:
    run_id = begun(world.chain("a", "b"), db, world, "b")
    refused(world.chain("a", "new", "b"), db)
    with Runner(world.chain("a", "b"), db=db) as runner:
        run = runner.ledger.get(run_id)
        assert (run.status, run.error["node"]) == ("failed", "b")  # type: ignore[index]
        assert runner.resume("t1").status == "completed"


# -- subworkflows ---------------------------------------------------------------------------------


def nested(world: Any, part: str = "part", inner: tuple[str, ...] = ("x", "y", "z")) -> Workflow:
    outer = Workflow("outer", State)
    outer.add_node("a", world.node("a")).add_node(part, world.chain(*inner, name="inner", schema=State))
    return outer.add_edge(START, "a").add_edge("a", part).add_edge(part, END)


def test_a_pending_node_inside_a_subworkflow_is_mapped(world: Any, db: Path) -> None:
    begun(nested(world), db, world, "y")
    renamed = nested(world, inner=("x", "why:y", "z"))
    assert refused(renamed, db).rename == {"part/y": "part/why"}
    done = resumed(renamed, db, rename={"part/y": "why"})
    assert (done.status, world.seen) == ("completed", ["y", "z"])
    first, second = (key for name, key in world.keys if name == "y")
    assert first == second


def test_a_subworkflow_is_renamed_together_with_the_node_that_is_pending_in_it(world: Any, db: Path) -> None:
    begun(nested(world), db, world, "y")
    renamed = nested(world, "piece", ("x", "why:y", "z"))
    suggested = refused(renamed, db).rename
    assert suggested == {"part": "piece", "part/y": "piece/why"}
    assert resumed(renamed, db, rename=suggested).status == "completed"
    assert world.seen == ["y", "z"]


def test_a_node_inserted_in_a_subworkflow_before_the_pending_one_is_refused(world: Any, db: Path) -> None:
    begun(nested(world), db, world, "y")
    difference = refused(nested(world, inner=("x", "new", "y", "z")), db)
    assert [c.where for c in difference.refused()] == ["part/new"]


def test_a_subworkflow_in_flight_that_became_a_function_is_refused(world: Any, db: Path) -> None:
    begun(nested(world), db, world, "y")
    outer = Workflow("outer", State)
    outer.add_node("a", world.node("a")).add_node("part", world.node("part"))
    outer.add_edge(START, "a").add_edge("a", "part").add_edge("part", END)
    assert [c.where for c in refused(outer, db).refused()] == ["part"]


# -- humans ---------------------------------------------------------------------------------------


def test_a_question_can_be_answered_by_its_id_after_its_node_was_renamed(world: Any, db: Path) -> None:
    def flow(name: str) -> Workflow:
        def ask(state: State) -> dict[str, Any]:
            return {"path": [interrupt("first?"), interrupt("second?")]}

        made = Workflow("asking", State)
        made.add_node(name, ask, interrupts=2)
        return made.add_edge(START, name).add_edge(name, END)

    with Runner(flow("ask"), db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
        waiting = runner.resume("t1", "one")
    (question,) = waiting.interrupts
    with Runner(flow("inquire"), db=db) as runner:
        with pytest.raises(IncompatibleGraph):
            runner.resume("t1", {question["id"]: "two"})
        done = runner.resume("t1", {question["id"]: "two"}, rename={"ask": "inquire"})
    assert done.output["path"] == ["one", "two"]


# -- plain LangGraph graphs -----------------------------------------------------------------------


def plain(world: Any, *names: str) -> Any:
    graph: Any = StateGraph(State)
    for name in names:
        new, _, old = name.partition(":")
        graph.add_node(new, world.node(old or new))
    order = [name.partition(":")[0] for name in names]
    for source, target in zip([START, *order], [*order, END], strict=True):
        graph.add_edge(source, target)
    return graph


@pytest.mark.parametrize("compiled", [False, True])
def test_a_plain_graph_is_compared_and_mapped_too(world: Any, db: Path, compiled: bool) -> None:
    made: Callable[..., Any] = (lambda g: g.compile(name="graph")) if compiled else (lambda g: g)
    begun(made(plain(world, "a", "b", "c")), db, world, "b")
    renamed = made(plain(world, "a", "beta:b", "c"))
    assert refused(renamed, db).rename == {"b": "beta"}
    assert [c.where for c in refused(made(plain(world, "a", "new", "b", "c")), db).refused()] == ["new"]
    assert resumed(renamed, db, rename={"b": "beta"}).output["path"] == ["a", "b", "c"]
    assert world.seen == ["b", "c"]


def test_what_is_pending_of_a_node_of_a_langgraph_graph_that_was_renamed_twice_is_not_dropped(
    world: Any, db: Path
) -> None:
    def turning(name: str) -> Any:
        graph: Any = StateGraph(State)

        def again(state: State) -> Literal["again", "done"]:
            return "again" if len(state["path"]) < 3 else "done"

        graph.add_node(name, world.node("x")).add_edge(START, name)
        return graph.add_conditional_edges(name, again, {"again": name, "done": END})

    begun(turning("one"), db, world, "x")
    with Runner(turning("two"), db=db) as runner:
        stream = runner.stream_resume("t1", rename={"one": "two"})
        for _ in stream:
            world.broken.add("x")
    assert stream.result is not None
    assert stream.result.status == "failed"
    world.broken.clear()
    for rename in ({}, {"two": "three"}, {"one": "three"}):
        with (
            Runner(turning("three"), db=db) as runner,
            pytest.raises(IncompatibleGraph),
        ):
            runner.resume("t1", rename=rename, accept_changes=True)
    assert resumed(turning("two"), db).output["path"] == ["x", "x", "x"]


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("part", ["", "sub/"])
def test_a_renamed_node_of_a_langgraph_graph_keeps_its_effects_and_its_name_in_the_journal(
    db: Path, part: str, times: int
) -> None:
    """What it had done was done once more after the rename, under another key."""
    charged: list[str] = []
    broken = [True]

    def charge(state: State) -> State:
        execution = current_execution()
        assert execution is not None
        effect("charge", lambda: charged.append(execution.idempotency_key))
        if broken:
            raise ValueError("after it was charged")
        return {"path": ["charged"]}

    def graph(name: str) -> Any:
        made: Any = StateGraph(State)
        made.add_node("sort", lambda state: None).add_node(name, charge).add_edge(START, "sort")
        made.add_conditional_edges("sort", lambda state: [Send(name, {})] * times, [name])
        made.add_edge(name, END)
        outer: Any = StateGraph(State)
        return (
            made
            if not part
            else outer.add_node("sub", made.compile()).add_edge(START, "sub").add_edge("sub", END)
        )

    with Runner(graph("pay"), db=db) as runner:
        assert runner.run({}, "t1").status == "failed"
    done = len(charged)
    then, now = f"{part}pay", f"{part}settle"
    heard: list[Event] = []
    with Runner(graph("settle"), db=db, on_event=heard.append) as runner:
        again = runner.resume("t1", rename={then: now})
        assert again.error is not None
        assert again.error["node"] == now
    broken.clear()
    with Runner(graph("settle"), db=db) as runner:
        result = runner.resume("t1")
        assert result.output["path"] == ["charged"] * times
        journalled = {e.place for e in runner.ledger.executions(result.run_id)}
    assert then in journalled
    assert now not in journalled
    assert done >= 1
    assert len(charged) == len(set(charged)) == times
    assert now in {e.node for e in heard if type(e) is NodeStarted}


def holding(graph: Any, name: str, world: Any, kind: str) -> Any:
    """A graph whose second node is that one, compiled; as many times in each other as there are names in `name`."""
    name, _, rest = name.partition("/")
    inner = holding(graph, rest, world, "langgraph") if rest else graph.compile()
    outer: Any = Workflow("outer", State) if kind == "workflow" else StateGraph(State)
    outer.add_node("first", world.node("first")).add_node(name, inner)
    outer.add_edge(START, "first").add_edge("first", name).add_edge(name, END)
    return outer if kind == "workflow" else outer.compile(name="outer")


@pytest.mark.parametrize("kind", ["workflow", "langgraph"])
@pytest.mark.parametrize(
    ("then", "now", "rename"),
    [
        ("sub", "sub", {"sub/b": "sub/beta"}),
        ("sub", "part", {"sub": "part", "sub/b": "part/beta"}),
        ("sub/deep", "part/low", {"sub": "part", "sub/deep": "part/low", "sub/deep/b": "part/low/beta"}),
    ],
)
def test_a_node_inside_of_a_langgraph_graph_is_mapped_as_suggested(
    world: Any, db: Path, kind: str, then: str, now: str, rename: dict[str, str]
) -> None:
    begun(holding(plain(world, "a", "b", "c"), then, world, kind), db, world, "b")
    renamed = holding(plain(world, "a", "beta:b", "c"), now, world, kind)
    if len(rename) == 1:
        assert refused(renamed, db).rename == rename
    assert resumed(renamed, db, rename=rename).output["path"][-3:] == ["a", "b", "c"]
    assert world.seen == ["b", "c"]


@pytest.mark.parametrize(
    "rename", [{"a": "alpha"}, {"j": "join"}, {"a": "alpha", "b": "beta", "j": "join"}], ids=str
)
@pytest.mark.parametrize("broken", ["b", "j"])
@pytest.mark.parametrize("kind", ["flat", "deferred", "inside"])
def test_a_join_of_a_plain_graph_keeps_what_it_was_told(
    world: Any, db: Path, kind: str, broken: str, rename: dict[str, str]
) -> None:
    def graph(names: dict[str, str]) -> Any:
        a, b, j = (names.get(name, name) for name in "abj")
        made: Any = StateGraph(State)
        made.add_node(a, world.node("a")).add_node("before", world.node("before")).add_node(
            b, world.node("b")
        )
        made.add_node(j, world.node("j"), defer=kind == "deferred")
        made.add_edge(START, a).add_edge(START, "before").add_edge("before", b).add_edge([a, b], j).add_edge(
            j, END
        )
        return holding(made, "sub", world, "langgraph") if kind == "inside" else made

    within = "sub/" if kind == "inside" else ""
    paths = {within + old: within + new for old, new in rename.items()}
    begun(graph({}), db, world, broken)
    done = resumed(graph(rename), db, rename=paths)
    assert done.status == "completed"
    assert sorted(world.seen) == sorted({"b", "j"} if broken == "b" else {"j"})
    assert done.output["path"][-1] == "j"


@pytest.mark.parametrize("part", ["sub", "part"])
def test_a_plain_graph_goes_on_under_its_renames_more_than_once(world: Any, db: Path, part: str) -> None:
    begun(holding(plain(world, "a", "b", "c"), "sub", world, "langgraph"), db, world, "b")
    renamed = holding(plain(world, "a", "beta:b", "c"), part, world, "langgraph")
    world.broken.add("c")
    names = {"sub": part, "sub/b": f"{part}/beta"} if part != "sub" else {"sub/b": "sub/beta"}
    assert resumed(renamed, db, rename=names).status == "failed"
    world.broken.clear()
    with Runner(renamed, db=db) as runner:
        assert runner.difference("t1").verdict == "same"
        assert runner.resume("t1").status == "completed"
    assert world.seen == ["b", "c", "c"]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("sub/b", "first", "`first` is in another graph"),
        ("sub/b", "other/b", "`other/b` is in another graph"),
        ("first/b", "first/beta", "`first` runs its graph by itself"),
    ],
)
def test_a_node_that_cannot_be_mapped_is_named(world: Any, old: str, new: str, why: str) -> None:
    graph = holding(plain(world, "a", "b"), "sub", world, "langgraph")
    with pytest.raises(InputInvalid, match=f"`{old}` cannot be mapped: {why}"):
        graph_as_it_was(graph, {old: new})


def test_a_literal_router_of_a_renamed_node_is_followed(world: Any, db: Path) -> None:
    def flow(last: str) -> Workflow:
        made = Workflow("literal", State)
        made.add_node("a", world.node("a")).add_node(last, world.node("last")).add_edge(START, "a")

        def old(state: State) -> Literal["last", "__end__"]:
            if "route" in world.broken:
                raise ValueError
            return "last"

        def new(state: State) -> Literal["ultimate", "__end__"]:
            return "ultimate"

        route = old if last == "last" else new
        route.__name__ = "route"
        return made.add_conditional_edges("a", route).add_edge(last, END)

    begun(flow("last"), db, world, "route")
    assert resumed(flow("ultimate"), db).output["path"] == ["a", "last"]


def test_a_run_that_was_carried_over_may_use_what_is_proved_today_from_there_on(world: Any, db: Path) -> None:
    begun(world.chain("a", "b", "c", "d"), db, world, "c")
    shorter = world.chain("c", "d", "e")
    assert resumed(shorter, db).output["path"] == ["a", "b", "c", "d", "e"]


def test_so_may_the_next_process_that_goes_on_with_it(world: Any, db: Path) -> None:
    begun(world.chain("a", "b", "c", "d"), db, world, "c")
    world.broken.add("d")
    shorter = world.chain("c", "d", "e")
    assert resumed(shorter, db).status == "failed"
    world.broken.clear()
    assert resumed(shorter, db).output["path"] == ["a", "b", "c", "d", "e"]


def test_a_loop_behind_a_spent_one_keeps_its_count_under_a_rename(db: Path) -> None:
    def flow(first: str, second: str, third: str) -> Workflow:
        made = Workflow("spent", State).add_node(first, lambda state: None)
        made.add_node(second, lambda state: {"path": [interrupt("on?")]}, interrupts=1)
        made.add_node(third, lambda state: None).add_edge(START, first).add_edge(first, second)
        back = Loop(second, max=1, on_exhausted=Loop(first, max=2, on_exhausted=END))
        made.add_edge(second, third)
        return made.add_conditional_edges(third, lambda state: second, [back, END])

    with Runner(flow("a", "b", "c"), db=db) as runner:
        result = runner.run({}, thread="t")
        for _ in range(3):
            result = runner.resume("t", "yes")
    with Runner(flow("x", "y", "z"), db=db) as runner:
        resumes = 0
        rename: Any = {"a": "x", "b": "y", "c": "z"}
        while result.status == "interrupted":
            result = runner.resume("t", "yes", rename=rename)
            resumes, rename = resumes + 1, None
        assert (result.status, resumes) == ("completed", 1)


def test_what_is_waived_of_a_renamed_node_is_waived_in_a_run_that_goes_on(db: Path) -> None:
    """The check went by the old name then, and the run could not go on."""
    part = Workflow("part", State).add_node("only", lambda state: {"path": ["only"]})
    graph = part.add_edge(START, "only").add_edge("only", END).compile()

    def flow(name: str, outer: str) -> Workflow:
        def runs_it(state: State) -> Any:
            return graph.invoke({"topic": "x"})

        inner = Workflow("inner", State).add_node(name, runs_it).waive("T111", name, "it is short")
        made = Workflow("outer", State).add_node("ask", lambda s: {"path": [interrupt("?")]}, interrupts=1)
        made.add_node(outer, inner.add_edge(START, name).add_edge(name, END)).add_node(f"{name}/2", runs_it)
        made.waive("T111", f"{name}/2", "it is short")
        made.add_edge(START, "ask").add_edge("ask", outer).add_edge(outer, f"{name}/2")
        return made.add_edge(f"{name}/2", END)

    with Runner(flow("draft", "part"), db=db) as runner:
        assert runner.run({"topic": "x"}, thread="t1").status == "interrupted"
    renamed = {"part": "whole", "part/draft": "whole/write", "draft|2F2": "write|2F2"}
    result = resumed(flow("write", "whole"), db, value="yes", rename=renamed)
    assert (result.status, result.output["path"]) == ("completed", ["yes", "yes", "only", "only"]), result


def test_a_place_of_a_waiver_is_found_under_old_names() -> None:
    flow = Workflow("new", State).add_node("new", lambda state: None).add_node("end", lambda state: None)
    for place in ("new", "new->end", "start->new", "new/old->end", "end/new", "other"):
        flow.waive("S203", place, "why")
    places = [place for _, place, _ in as_it_was(flow, {"old": "new"}).waivers]
    assert places[:6] == ["new", "new->end", "start->new", "new/old->end", "end/new", "other"]
    assert places[6:] == ["old", "old->end", "start->old", "old/old->end"]


# -- what was given up ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["abandoned", "cancelled"])
def test_what_was_pending_of_a_run_that_was_given_up_is_none_of_the_next_one(
    world: Any, db: Path, how: str
) -> None:
    begun(world.chain("a", "b", "c"), db, world, "b")
    world.broken.add("beta")
    changed = world.chain("a", "beta", "c")
    with Runner(changed, db=db) as runner:
        if how == "cancelled":
            runner.cancel("t1")
        assert runner.run({"topic": "y"}, thread="t1", abandon=how == "abandoned").status == "failed"
        assert runner.difference("t1").verdict == "same"
        with pytest.raises(ThreadUnfinished, match="failed, with `beta` pending"):
            runner.run({"topic": "z"}, thread="t1")
        world.broken.clear()
        result = runner.resume("t1")
        assert (result.status, world.seen[-2:]) == ("completed", ["beta", "c"])
        at = runner.checkpointer.get_tuple({"configurable": {"thread_id": "t1"}}).checkpoint["id"]
        assert runner.fork("t1", at, into="t2").status == "completed"


def test_nor_is_a_join_that_it_left_half_filled(world: Any, db: Path) -> None:
    class State(TypedDict, total=False):
        topic: str
        path: Annotated[list[str], operator.add]

    def flow(joined: str) -> Workflow:
        made = Workflow("joining", State)
        for name in ("a", "x", "b", joined):
            made.add_node(name, world.node(name))
        made.add_edge(START, "a").add_edge(START, "x").add_edge("x", "b").add_edge(["a", "b"], joined)
        return made.add_edge(joined, END)

    begun(flow("c"), db, world, "b")
    world.broken.add("d")
    with Runner(flow("d"), db=db) as runner:
        assert runner.run({"topic": "y"}, thread="t1", abandon=True).status == "failed"
        assert runner.difference("t1").verdict == "same"
        world.broken.clear()
        assert runner.resume("t1").status == "completed"


def test_its_supersteps_are_not_counted_for_the_next_one(world: Any, db: Path) -> None:
    begun(world.chain("a"), db, world, "a")
    world.broken.add("z")
    with Runner(world.chain("z"), db=db) as runner:
        for _ in range(2):
            assert runner.run({"topic": "y"}, thread="t1", abandon=True).supersteps == 0
        failed = runner.resume("t1")
    assert (failed.status, failed.supersteps) == ("failed", 0)
