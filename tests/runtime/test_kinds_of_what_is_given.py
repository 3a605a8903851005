"""What a `Runner` is given is looked at before anything is taken, run or deleted."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from dalsegno import END, START, Runner, SqliteCheckpointer, Workflow, human
from dalsegno.errors import CheckpointError, DefinitionError, InputInvalid, KernelError, RunFailed
from dalsegno.nodes import aeffect, effect


class Page(TypedDict, total=False):
    draft: str
    verdict: str


def waiting() -> Workflow:
    ask = human("Publish {draft}?", answer=str, writes="verdict")
    return Workflow("page", Page).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END)


def of_one(node: Any) -> Workflow:
    return Workflow("page", Page).add_node("one", node).add_edge(START, "one").add_edge("one", END)


@pytest.fixture
def runner(tmp_path: Path):
    with Runner(waiting(), db=tmp_path / "runs.db") as runner:
        runner.run({"draft": "rain"}, thread="5")
        yield runner


@pytest.mark.parametrize("mode", ["update", ["updates", "value"], 5])
@pytest.mark.parametrize("method", ["stream", "stream_resume"])
def test_a_mode_that_there_is_not_is_refused_before_the_thread_is_taken(
    runner: Runner, method: str, mode: Any
) -> None:
    given = ({"draft": "rain"}, "new") if method == "stream" else ("5", "yes")
    with pytest.raises(DefinitionError, match=r'is no mode.*There are "values", "updates"'):
        getattr(runner, method)(*given, stream_mode=mode)
    assert runner.ledger.latest("new") is None
    assert runner.resume("5", "yes").status == "completed"


def test_a_mode_is_suggested(runner: Runner) -> None:
    with pytest.raises(DefinitionError, match="did you mean `updates`"):
        runner.stream({"draft": "rain"}, stream_mode="update")  # type: ignore[arg-type]


@pytest.mark.parametrize("thread", [None, 5, ["5"], b"5"])
@pytest.mark.parametrize("method", ["resume", "cancel", "delete", "pending", "difference", "fork"])
def test_a_thread_goes_by_a_text(runner: Runner, method: str, thread: Any) -> None:
    more = ("1f0",) if method == "fork" else ()
    with pytest.raises(InputInvalid, match=r"The thread.s name is .*, and a text is needed"):
        getattr(runner, method)(thread, *more)
    assert runner.ledger.last("5").status == "interrupted"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"accept_changes": "no"}, "`accept_changes='no'`: True or False"),
        ({"claim": "mine"}, r"a Claim\(...\) is needed"),
    ],
)
def test_what_a_resume_is_given(runner: Runner, given: dict[str, Any], words: str) -> None:
    with pytest.raises(DefinitionError, match=f"resume: .*{words}"):
        runner.resume("5", "yes", **given)
    assert runner.resume("5", "yes").status == "completed"


def test_names_of_a_rename_are_a_mapping_however_few(runner: Runner) -> None:
    with pytest.raises(InputInvalid, match=r"rename=\[\]: it is {old name: new name}"):
        runner.resume("5", "yes", rename=[])  # type: ignore[arg-type]
    assert runner.resume("5", "yes").status == "completed"


def test_pending_work_is_not_given_up_for_a_word(runner: Runner) -> None:
    with pytest.raises(DefinitionError, match="run: `abandon='no'`: True or False is needed"):
        runner.run({"draft": "snow"}, "5", abandon="no")  # type: ignore[arg-type]


@pytest.mark.parametrize("named", [None, "", 5, InMemorySaver()])
def test_what_names_no_database_is_said_to_name_none(named: Any) -> None:
    with pytest.raises(CheckpointError, match=r"names no database\. A path, sqlite:///path or postgresql://"):
        Runner(waiting(), db=named)


def test_a_store_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"`store='store\.db'`: a LangGraph store"):
        Runner(waiting(), db=tmp_path / "runs.db", store="store.db")


def test_a_specification_runs_nothing(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="is a description, and runs nothing"):
        Runner(waiting().spec, db=tmp_path / "runs.db")


def test_listeners_may_be_a_list(tmp_path: Path) -> None:
    one: list[Any] = []
    two: list[Any] = []
    with Runner(
        of_one(lambda state: {}), db=tmp_path / "runs.db", on_event=[one.append, two.append]
    ) as runner:
        runner.run({})
    assert one == two != []


@pytest.mark.parametrize("listener", [5, [print, None], "print"])
def test_a_listener_is_a_function(tmp_path: Path, listener: Any) -> None:
    with pytest.raises(DefinitionError, match=r"on_event=.*a function of one event, or several, is needed"):
        Runner(waiting(), db=tmp_path / "runs.db", on_event=listener)


def test_a_listener_that_nobody_would_await_is_refused(tmp_path: Path) -> None:
    async def heard(event: Any) -> None: ...

    with pytest.raises(DefinitionError, match=r"is a coroutine function.*nobody would await it"):
        Runner(waiting(), db=tmp_path / "runs.db", on_event=heard)


def test_one_allowed_type_may_stand_alone() -> None:
    SqliteCheckpointer(":memory:", allow=Page)  # type: ignore[arg-type]
    with pytest.raises(
        DefinitionError, match=r"allow=.*types, or \(module, name\) pairs of them, are needed"
    ):
        SqliteCheckpointer(":memory:", allow="Page")  # type: ignore[arg-type]


def test_a_serializer_serializes() -> None:
    with pytest.raises(DefinitionError, match=r"serde=5.*dumps_typed and loads_typed"):
        SqliteCheckpointer(":memory:", serde=5)  # type: ignore[arg-type]


def test_an_effect_is_given_the_function_and_not_what_it_gave(tmp_path: Path) -> None:
    def pay(state: Page):
        return {"verdict": effect("charge", str(5))}  # type: ignore[arg-type]

    with Runner(of_one(pay), db=tmp_path / "runs.db") as runner:
        error = runner.run({}).error
    assert error is not None
    assert error["type"] == "KernelError"
    assert "effect('charge', '5'): the second argument is the function to call" in error["message"]


def test_a_coroutine_is_awaited_by_aeffect(tmp_path: Path) -> None:
    async def charge() -> str:
        return "receipt"

    def pay(state: Page):
        return {"verdict": effect("charge", charge)}

    def pay_by_another(state: Page):
        return {"verdict": effect("charge", lambda: charge())}

    for node in (pay, pay_by_another):
        with Runner(of_one(node), db=tmp_path / f"{node.__name__}.db") as runner:
            error = runner.run({}).error
        assert error is not None
        assert "write `await aeffect('charge', ...)`" in error["message"]
    with pytest.raises(KernelError, match="await aeffect"):
        effect("charge", charge)


def test_what_a_plain_function_has_done_in_aeffect_is_recorded(tmp_path: Path) -> None:
    charged: list[int] = []

    async def pay(state: Page):
        receipt = await aeffect("charge", lambda: charged.append(5) or "receipt")  # type: ignore[arg-type]
        if "draft" not in state:
            raise ConnectionError("no network")
        return {"verdict": receipt}

    with Runner(of_one(pay), db=tmp_path / "runs.db") as runner:
        for _ in range(2):
            failed = runner.run({}, "t1") if not charged else runner.resume("t1")
            assert failed.error is not None
            assert failed.error["type"] == "ConnectionError"
    assert charged == [5]


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_runner_is_not_sent_to_another_process(runner: Runner, take: Any) -> None:
    with pytest.raises(
        TypeError, match="Give the other process the name of the database, and make a Runner there"
    ):
        take(runner)


async def _later(state: Page):
    yield {"draft": "rain"}
    yield {"verdict": "good"}


def _both(state: Page):
    yield {"draft": "rain"}
    yield {"verdict": "good"}


@pytest.mark.parametrize("node", [_both, _later])
@pytest.mark.parametrize("timeout", [None, 60])
def test_what_a_generator_yields_before_its_last_is_not_dropped(
    tmp_path: Path, node: Any, timeout: float | None
) -> None:
    flow = Workflow("page", Page).add_node("one", node, timeout=timeout)
    with Runner(flow.add_edge(START, "one").add_edge("one", END), db=tmp_path / "runs.db") as runner:
        error = runner.run({}).error
    assert error is not None
    assert error["type"] == "UnknownStateKey"
    assert error["message"] == (
        "`one` yields {'draft': 'rain'} and then {'verdict': 'good'}: only the last would be kept. Return one of "
        "everything, or make several nodes."
    )


def test_a_generator_that_yields_once_is_a_node(tmp_path: Path) -> None:
    def once(state: Page):
        yield {"draft": "rain"}

    with Runner(of_one(once), db=tmp_path / "runs.db") as runner:
        assert runner.run({}).output == {"draft": "rain"}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero. Mend the cause"),
        (KeyError(), "KeyError. Mend the cause"),
        (OSError("Is the disk full?"), "OSError: Is the disk full? Mend the cause"),
    ],
)
def test_what_a_node_raised_is_a_sentence_of_its_own(tmp_path: Path, error: Exception, said: str) -> None:
    def fails(state: Page):
        raise error

    with Runner(of_one(fails), db=tmp_path / "runs.db") as runner, pytest.raises(RunFailed) as raised:
        runner.run({}).raise_for_status()
    assert f"failed in `one`: {said}, then go on with `dalsegno resume " in str(raised.value)
