"""Pattern 22: older turns become a summary, the last ones stay, and lasting facts outlive the thread."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore
from langgraph.store.sqlite.aio import AsyncSqliteStore

from dalsegno import Runner
from dalsegno.errors import DefinitionError
from dalsegno.graphs.patterns import summarizing_memory
from dalsegno.nodes.policies import keeping


def summarize(state: Any) -> dict[str, Any]:
    before = (state.get("summary") or {"facts": []})["facts"]
    facts = before + [turn["message"] for turn in state["older"]]
    return {"goal": "", "facts": facts, "decisions": [], "status": ""}


def echo(state: Any) -> str:
    return str(state["message"])


def told(state: Any) -> str:
    return ", ".join(state["known"])


def name_of(state: Any) -> list[str]:
    message = state["message"]
    return [message.removeprefix("I am ")] if message.startswith("I am ") else []


def talk(runner: Runner, *messages: str, thread: str = "t", **more: Any) -> dict[str, Any]:
    output: dict[str, Any] = {}
    for message in messages:
        output = runner.run({"message": message, **more}, thread=thread).raise_for_status().output
    return output


def kept(output: dict[str, Any]) -> list[str]:
    return [turn["message"] for turn in output["turns"]]


def test_after_n_turns_all_but_the_last_are_summarized_and_nothing_is_lost(tmp_path: Path) -> None:
    with Runner(summarizing_memory(echo, summarize, every=4, keep=2), db=tmp_path / "r.db") as runner:
        output = talk(runner, *"abcd")
        assert (kept(output), "summary" in output) == (list("abcd"), False)
        output = talk(runner, "e")
        assert (output["summary"]["facts"], kept(output)) == (list("ab"), list("cde"))
        output = talk(runner, *"fghij")
        assert output["summary"]["facts"] + kept(output) == list("abcdefghij"), "the summary rolls on"


def test_turns_are_summarized_once_also_where_the_turn_that_did_it_is_given_up(tmp_path: Path) -> None:
    def fragile(state: Any) -> str:
        if state["message"] == "fail":
            raise OSError("no line")
        return echo(state)

    flow = summarizing_memory(fragile, summarize, every=2, keep=1)
    assert flow.validate().findings == ()
    with Runner(flow, db=tmp_path / "r.db") as runner:
        talk(runner, "a", "b")
        assert runner.run({"message": "fail"}, thread="t").status == "failed"
        output = runner.run({"message": "c"}, thread="t", abandon=True).raise_for_status().output
        assert (output["summary"]["facts"], kept(output)) == (["a"], ["b", "c"])


def test_a_message_that_would_overflow_the_window_makes_it_summarize_at_once(tmp_path: Path) -> None:
    flow = summarizing_memory(echo, summarize, every=100, keep=2, window=140, count=len)
    with Runner(flow, db=tmp_path / "r.db") as runner:
        output = talk(runner, "a", "b", "c")
        assert "summary" not in output
        output = talk(runner, "d" * 50)
        assert (output["summary"]["facts"], kept(output)[:-1]) == (["a"], ["b", "c"])


def test_where_the_kept_turns_do_not_fit_fewer_are_kept(tmp_path: Path) -> None:
    flow = summarizing_memory(echo, summarize, every=10, keep=3, window=90, count=len)
    with Runner(flow, db=tmp_path / "r.db") as runner:
        output = talk(runner, "a" * 30, "b" * 30, "c")
    assert kept(output) == ["c"]
    assert len(output["summary"]["facts"]) == 2


def test_facts_are_known_on_other_threads_of_the_same_user(tmp_path: Path) -> None:
    flow = summarizing_memory(told, summarize, remembrancer=name_of)
    with Runner(flow, db=tmp_path / "r.db", store=InMemoryStore()) as runner:
        talk(runner, "I am Ada", "I am Ada", "I am a mathematician", thread="one", user="ada")
        assert talk(runner, "hello", thread="two", user="ada")["response"] == "Ada, a mathematician"
        assert talk(runner, "hello", thread="three", user="bob")["response"] == ""


def test_a_user_is_named_by_any_text_and_knows_only_the_own_facts(tmp_path: Path) -> None:
    users = ["ada@example.org", "ada@example%2Eorg", "ada", "a_a", "%", "."]
    flow = summarizing_memory(told, summarize, remembrancer=name_of)
    with (
        SqliteStore.from_conn_string(str(tmp_path / "facts.db")) as store,
        Runner(flow, db=tmp_path / "r.db", store=store) as runner,
    ):
        store.setup()
        for user in users:
            talk(runner, f"I am {user}", thread=f"tells {user}", user=user)
        answers = [talk(runner, "hello", thread=f"asks {u}", user=u)["response"] for u in users]
    assert answers == users


def test_all_facts_of_a_user_are_known_however_many(tmp_path: Path) -> None:
    store, facts = InMemoryStore(), [f"fact {number:04}" for number in range(2_100)]
    for fact in facts:
        store.put(("facts", "ada"), fact, {"fact": fact})
    flow = summarizing_memory(told, summarize, remembrancer=name_of, window=1_000_000)
    with Runner(flow, db=tmp_path / "r.db", store=store) as runner:
        assert talk(runner, "hello", user="ada")["known"] == facts


def test_a_fact_of_odd_characters_is_kept_as_every_store_takes_it(tmp_path: Path) -> None:
    store, facts = InMemoryStore(), ["likes\0 tea", "half \ud800", "", "  "]
    flow = summarizing_memory(told, summarize, remembrancer=lambda state: facts)
    with Runner(flow, db=tmp_path / "r.db", store=store) as runner:
        assert talk(runner, "one", "two", user="ada")["known"] == ["half ?", "likes tea"]


def test_a_store_whose_event_loop_waits_for_the_run_fails_it_and_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "PATIENCE", 0.05)

    async def atold(state: Any) -> str:
        return told(state)

    async def main() -> None:
        async with AsyncSqliteStore.from_conn_string(str(tmp_path / "facts.db")) as store:
            await store.setup()
            flow = summarizing_memory(atold, summarize, remembrancer=name_of)
            with Runner(flow, db=tmp_path / "r.db", store=store) as runner:
                error = runner.run({"message": "I am Ada"}, thread="t").error
                assert error is not None
                assert "await `arun`" in error["message"]
                (await runner.aresume("t")).raise_for_status()
                output = (await runner.arun({"message": "hello"}, thread="t")).raise_for_status().output
                assert output["response"] == "Ada"

    asyncio.run(main())


def test_without_a_store_nothing_is_asked(tmp_path: Path) -> None:
    flow = summarizing_memory(told, summarize, remembrancer=name_of)
    with Runner(flow, db=tmp_path / "r.db") as runner:
        result = runner.run({"message": "I am Ada"}, thread="t")
    assert result.error is not None
    assert result.error["node"] == "listen"
    assert "Runner(flow, store=InMemoryStore())" in result.error["message"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"every": 0}, "1 or more"),
        ({"keep": -1}, "0 or more"),
        ({"window": 0}, "1 or more"),
        ({"every": 3, "keep": 3}, "none would be summarized"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        summarizing_memory(echo, summarize, **options)
