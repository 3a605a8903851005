"""An agent's answer fits what was asked for, or the run says what the model said."""

from __future__ import annotations

import asyncio
import operator
import pickle
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langgraph.graph.message import add_messages
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel

from dalsegno import END, START, Loop, Runner, Workflow, agent
from dalsegno.errors import AnswerInvalid, DefinitionError, FieldMissing, MissingExtra
from dalsegno.testing import Reply, ScriptedChatModel, ScriptedServer

Play = Callable[[Any, Any], dict[str, Any]]


class Verdict(BaseModel):
    """What a critic says."""

    verdict: Literal["good", "again"]
    score: int = Field(ge=0, le=10)


class Part(TypedDict):
    title: str


class Outline(TypedDict, total=False):
    parts: list[Part]
    note: str


@dataclass
class Point:
    x: int
    y: int = 0


@pytest.mark.parametrize(
    ("output", "said", "writes", "update"),
    [
        (Verdict, {"verdict": "good", "score": 7}, None, {"verdict": "good", "score": 7}),
        (Verdict, {"verdict": "good", "score": 7}, "review", {"review": Verdict(verdict="good", score=7)}),
        (Verdict, {"verdict": "good", "score": 7}, {"grade": "score"}, {"grade": 7}),
        (Outline, {"parts": [{"title": "a"}]}, None, {"parts": [{"title": "a"}]}),
        (Outline, {"parts": [{"title": "a"}]}, "outline", {"outline": {"parts": [{"title": "a"}]}}),
        (Point, {"x": 3}, "at", {"at": Point(3)}),
        (Literal["yes", "no"], {"answer": "yes"}, "go", {"go": "yes"}),
        (list[int], {"answer": [1, 2]}, "numbers", {"numbers": [1, 2]}),
        (None, "Rain.", "draft", {"draft": "Rain."}),
    ],
)
def test_an_answer_of_any_shape_goes_where_it_is_written(
    play: Play, output: Any, said: Any, writes: Any, update: dict[str, Any]
) -> None:
    with ScriptedChatModel([Reply(said, expect="Judge: rain")]) as model:
        assert play(agent(model, "Judge: {draft}", output=output, writes=writes), {"draft": "rain"}) == update


def test_without_a_shape_the_answer_joins_the_conversation(play: Play) -> None:
    with ScriptedChatModel([Reply("Hello.", expect=["Be brief", "Hi"])]) as model:
        answer = play(agent(model, "Be brief."), {"messages": [HumanMessage("Hi")]})
    assert [(type(m), m.text) for m in answer["messages"]] == [(AIMessage, "Hello.")]


BAD = Reply({"name": "Verdict", "args": {"verdict": "so so"}}, check=False)
GOOD = {"verdict": "good", "score": 7}


def test_an_answer_that_does_not_fit_goes_back_with_what_is_wrong(play: Play) -> None:
    with ScriptedChatModel(
        [BAD, Reply(GOOD, expect=["`verdict`: Input should be", "`score`: Field required"])]
    ) as model:
        assert play(agent(model, "Judge", output=Verdict), {}) == GOOD
    assert [m.type for m in model.calls[1].messages] == ["human", "ai", "tool"]


def test_what_only_a_validator_sees_goes_back_too(play: Play) -> None:
    eleven = Reply({"name": "Verdict", "args": {"verdict": "good", "score": 11}}, check=False)
    with ScriptedChatModel([eleven, Reply(GOOD, expect="less than or equal to 10 (it is 11)")]) as model:
        assert play(agent(model, "Judge", output=Verdict), {}) == GOOD


@pytest.mark.parametrize("said", ["I think it is good.", '{"verdict": "good"', ""])
def test_an_answer_that_is_no_data_goes_back_as_a_message(play: Play, said: str) -> None:
    with ScriptedChatModel(
        [Reply(said, check=False), Reply(GOOD, expect="is no call of `Verdict` and no JSON")]
    ) as model:
        assert play(agent(model, "Judge", output=Verdict), {}) == GOOD
    assert model.calls[1].messages[-1].type == "human"


def test_an_answer_that_nests_too_deeply_goes_back_beside_tools_too(play: Play) -> None:
    def look(words: str) -> str:
        return words

    script = [
        Reply("[" * 100_000, check=False),
        Reply({"name": "Verdict", "args": GOOD}, expect="and no JSON"),
    ]
    with ScriptedChatModel(script) as model:
        assert play(agent(model, "Judge", output=Verdict, tools=[look]), {}) == GOOD


def test_after_the_last_correction_the_error_says_what_the_model_said(play: Play) -> None:
    with ScriptedChatModel([BAD] * 3) as model, pytest.raises(AnswerInvalid) as raised:
        play(agent(model, "Judge", output=Verdict, corrections=2, name="critic"), {})
    error = pickle.loads(pickle.dumps(raised.value))
    assert (error.node, error.asked, error.said) == ("critic", 3, '[{"verdict": "so so"}]')
    assert "`score`: Field required" in error.problem
    assert str(error).startswith("The model of `critic` gave no answer that fits for `Verdict` in 3 calls.")


def test_without_corrections_the_first_answer_is_the_last(play: Play) -> None:
    with ScriptedChatModel([BAD]) as model, pytest.raises(AnswerInvalid):
        play(agent(model, "Judge", output=Verdict, corrections=0), {})


def test_a_model_that_calls_a_tool_nobody_offered_is_told(play: Play) -> None:
    call = Reply({"name": "search", "args": {}}, check=False)
    with ScriptedChatModel([call, Reply(GOOD, expect="it calls `search`, and there are no tools")]) as model:
        assert play(agent(model, "Judge", output=Verdict), {}) == GOOD
    with ScriptedChatModel([call]) as model, pytest.raises(AnswerInvalid, match="there are no tools"):
        play(agent(model, "Write", writes="draft"), {})


class Article(TypedDict, total=False):
    topic: str
    draft: str
    verdict: str
    score: int
    messages: Annotated[list[AnyMessage], add_messages]
    notes: Annotated[list[str], operator.add]


def article(model: Any, critic: Any) -> Workflow:
    flow = Workflow("article", Article)
    flow.add_node(agent(model, "Write about {topic}. {verdict?}", writes="draft", name="write"))
    flow.add_node("review", agent(critic, "Judge: {draft}", output=Verdict))
    flow.add_edge(START, "write").add_edge("write", "review")
    return flow.add_conditional_edges(
        "review", lambda s: s["verdict"], {"good": END, "again": Loop("write", max=2, on_exhausted=END)}
    )


def test_a_workflow_of_agents_is_certified_without_anybody_counting_calls(tmp_path: Path) -> None:
    flow = article(ScriptedChatModel([]), ScriptedChatModel([]))
    report = flow.validate()
    assert report.findings == ()
    assert report.certificate
    assert report.certificate.model_calls == 3 * (1 + 3)
    spec = flow.spec.nodes["write"]
    assert (spec.kind, spec.calls) == ("agent", 1)
    assert spec.reads == {"topic", "verdict"}
    assert spec.writes == {"draft"}
    assert 'class="node agent' in flow.draw(tmp_path / "article.svg").read_text()


def test_what_is_given_to_add_node_wins() -> None:
    flow = Workflow("one", Article)
    flow.add_node(
        agent(ScriptedChatModel([]), "Write about {topic}", writes="draft"), calls=5, reads=["notes"]
    )
    spec = flow.spec.nodes["agent"]
    assert (spec.calls, spec.reads, spec.writes) == (5, {"notes"}, {"draft"})


def test_a_run_of_agents_tells_what_each_model_cost(tmp_path: Path, drive: Callable[..., Any]) -> None:
    writer = ScriptedChatModel([Reply("Rain.", usage=(10, 2)), Reply("Rain falls.", usage=(12, 3))])
    critic = ScriptedChatModel(
        [Reply({"verdict": "again", "score": 2}, usage=(5, 5)), Reply(GOOD, usage=(5, 5))]
    )
    with writer, critic, Runner(article(writer, critic), db=tmp_path / "r.db") as runner:
        result = drive(runner, "run", {"topic": "rain"}, thread="t")
    assert result.output["draft"] == "Rain falls."
    assert result.usage["by_node"] == {
        "write": {"model_calls": 2, "tokens": 27},
        "review": {"model_calls": 2, "tokens": 20},
    }


def test_the_error_of_an_answer_that_never_fits_is_the_runs(tmp_path: Path) -> None:
    flow = Workflow("one", Article).add_node(
        "judge", agent(ScriptedChatModel([BAD] * 3), "Judge", output=Verdict)
    )
    with Runner(flow.add_edge(START, "judge").add_edge("judge", END), db=tmp_path / "r.db") as runner:
        error = runner.run({}).error
    assert (error["type"], error["node"]) == ("AnswerInvalid", "judge")
    assert "so so" in error["message"]


def test_a_missing_field_is_the_error_of_its_node(tmp_path: Path) -> None:
    flow = Workflow("one", Article).add_node("write", agent(ScriptedChatModel([]), "{topic}", writes="draft"))
    with Runner(flow.add_edge(START, "write").add_edge("write", END), db=tmp_path / "r.db") as runner:
        assert runner.run({"notes": []}).error["message"].startswith("`write` needs `topic` for its prompt")


def test_tokens_come_through_the_runners_stream_as_the_model_gives_them(tmp_path: Path) -> None:
    flow = Workflow("one", Article)
    flow.add_node("write", agent(ScriptedChatModel(["Rain falls softly."]), "Write", writes="draft"))
    with Runner(flow.add_edge(START, "write").add_edge("write", END), db=tmp_path / "r.db") as runner:
        stream = runner.stream({}, stream_mode="messages")
        chunks = [(chunk.text, told["langgraph_node"]) for chunk, told in stream if chunk.text]
    assert chunks == [("Rain ", "write"), ("falls ", "write"), ("softly.", "write")]
    assert stream.result
    assert stream.result.output["draft"] == "Rain falls softly."
    assert stream.result.usage["model_calls"] == 1


def test_tokens_come_through_an_asynchronous_stream_too(tmp_path: Path) -> None:
    flow = Workflow("one", Article)
    flow.add_node("write", agent(ScriptedChatModel(["Rain falls."]), "Write", writes="draft"))
    with Runner(flow.add_edge(START, "write").add_edge("write", END), db=tmp_path / "r.db") as runner:

        async def words() -> list[str]:
            return [c.text async for c, _ in runner.astream({}, stream_mode="messages") if c.text]

        assert asyncio.run(words()) == ["Rain ", "falls."]


def test_a_copy_plays_another_part() -> None:
    model = ScriptedChatModel(["a", GOOD])
    one = agent(model, "Write", writes="draft", name="write")
    other = one.with_(prompt="Judge", output=Verdict, writes=None, name="judge")
    assert one.invoke({}) == {"draft": "a"}
    assert other.invoke({}) == GOOD
    assert (other.name, other.declares()["calls"], one.declares()["calls"]) == ("judge", 3, 1)
    with pytest.raises(DefinitionError, match="no such argument; did you mean `output`"):
        one.with_(outptu=None)


def verdict(score: int) -> str:
    return f"{score} points"


verdict.__name__ = "Verdict"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": Literal["a", "b"]}, 'writes="key"'),
        ({"output": Verdict, "writes": {"x": "scroe"}}, "no field `scroe`; did you mean `score`?"),
        ({"writes": {"x": "score"}}, "the output has no field `score`"),
        ({"output": object(), "writes": "x"}, "pydantic"),
        ({"max_turns": 0}, "max_turns=0"),
        ({"corrections": -1}, "corrections=-1"),
        ({"tools": [3]}, "3 is no tool"),
        ({"output": {"type": "object"}, "writes": "x"}, "pydantic"),
        ({"output": Verdict, "tools": [verdict]}, "has the same name as the `output`"),
    ],
)
def test_an_agent_that_cannot_be_meant_is_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message.replace("?", "[?]")):
        agent(ScriptedChatModel([]), "Judge", **options)


def test_what_is_no_model_is_refused_and_a_name_is_looked_up_when_it_is_used() -> None:
    with pytest.raises(DefinitionError, match="is no model"):
        agent(3, "Write", writes="draft")
    named = agent("nobody:at-home", "Write {topic}", writes="draft")
    assert named.declares() == {"calls": 1, "writes": ("draft",), "reads": ("topic",)}
    with pytest.raises(FieldMissing):
        named.invoke({})
    with pytest.raises(DefinitionError, match="'nobody:at-home' names no model"):
        named.invoke({"topic": "x"})


class Text(TypedDict):
    draft: str


def gone() -> ScriptedChatModel:
    return ScriptedChatModel([], then=ConnectionError("gone"))


@pytest.mark.parametrize(
    ("around", "calls"),
    [
        (lambda model: gone().with_fallbacks([gone().bind(stop=["."]), model]), 3),
        (lambda model: gone().with_retry(stop_after_attempt=2).with_fallbacks([model]), 3),
        (lambda model: model.bind(stop=["."]).with_config(tags=["a"]), 1),
    ],
)
def test_what_langchain_puts_around_a_model_may_call_it_as_often_as_it_says(
    tmp_path: Path, around: Any, calls: int
) -> None:
    player = agent(around(ScriptedChatModel(["Rain."])), "?", writes="draft")
    assert player.declares()["calls"] == calls
    flow = Workflow("one", Text).add_node("ask", player)
    flow.add_edge(START, "ask").add_edge("ask", END)
    with Runner(flow, db=tmp_path / "r.db") as runner:
        assert runner.run({}).output == {"draft": "Rain."}


def test_a_runnable_around_a_model_has_to_pass_on_what_is_needed(play: Play) -> None:
    retrying = ScriptedChatModel(["Rain."]).with_retry()
    assert play(agent(retrying, "Write", writes="draft"), {}) == {"draft": "Rain."}
    for options in ({"output": Verdict}, {"tools": [len_of], "writes": "draft"}):
        with pytest.raises(
            DefinitionError, match=r"RunnableRetry has no `(with_structured_output|bind_tools)`"
        ):
            agent(retrying, "Write", **options)
    bound = ScriptedChatModel([GOOD]).with_config(tags=["x"])
    assert play(agent(bound, "Judge", output=Verdict), {}) == GOOD


def test_an_answer_is_kept_where_the_state_does_not_name_its_type(tmp_path: Path) -> None:
    class Loose(TypedDict, total=False):
        said: Any

    model = ScriptedChatModel([GOOD, GOOD])
    flow = Workflow("one", Loose).add_node("judge", agent(model, "Judge", output=Verdict, writes="said"))
    flow.add_edge(START, "judge").add_edge("judge", END)
    for _ in range(2):
        with Runner(flow, db=tmp_path / "r.db") as runner:
            assert runner.run({}, thread="t").output == {"said": Verdict(**GOOD)}


def len_of(text: str) -> int:
    return len(text)


def test_a_model_by_name_is_langchains(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(["Rain."]) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert play(agent("openai:any", "Write", writes="draft"), {}) == {"draft": "Rain."}


def test_without_langchain_a_model_by_name_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain.chat_models", None)
    with pytest.raises(MissingExtra, match=re.escape('pip install "dalsegno[models]"')) as raised:
        agent("openai:any", "Write", writes="draft").invoke({})
    assert raised.value.extra == "models"


def test_an_answer_that_is_a_secret_is_in_no_error() -> None:
    class Login(BaseModel):
        user: str
        password: SecretStr

    said = Reply({"name": "Login", "args": {"password": "sesame-sesame", "user": 3}}, check=False)
    with pytest.raises(AnswerInvalid, match="`user`: Input should be a valid string") as raised:
        agent(ScriptedChatModel([said]), "?", output=Login, corrections=0).invoke({})
    assert "sesame" not in str(raised.value) + repr(raised.value.data)


class Named(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)

    user_name: str
    full_age: int = 0


@pytest.mark.parametrize(
    ("writes", "update"),
    [(None, {"user_name": "ada", "full_age": 0}), ({"draft": "user_name"}, {"draft": "ada"})],
)
def test_a_field_is_a_state_key_by_its_own_name_and_the_model_is_told_its_alias(
    play: Play, writes: Any, update: dict[str, Any]
) -> None:
    said = {"userName": "ada"}
    assert play(agent(ScriptedChatModel([said]), "Who?", output=Named, writes=writes), {}) == update


def test_what_gives_no_message_is_no_model(play: Play) -> None:
    around: Any = ScriptedChatModel(["Rain."]) | StrOutputParser()
    with pytest.raises(DefinitionError, match="the chat model itself"):
        play(agent(around, "Write", writes="draft"), {})


def test_a_model_that_cannot_be_given_tools_is_refused_at_once() -> None:
    plain = FakeListChatModel(responses=["Rain."])
    assert agent(plain, "Write", writes="draft").invoke({}) == {"draft": "Rain."}
    for options in ({"tools": [verdict], "writes": "draft"}, {"output": Verdict}):
        with pytest.raises(DefinitionError, match="FakeListChatModel has no `bind_tools`"):
            agent(plain, "Write", **options)


@pytest.mark.parametrize(("told", "counted"), [(-7, 0), (10**400, 2**54), (3, 6)])
def test_what_a_model_says_it_used_is_a_count_or_nothing(tmp_path: Path, told: int, counted: int) -> None:
    usage: Any = {"input_tokens": told, "output_tokens": told, "total_tokens": 2 * told}
    model = ScriptedChatModel([AIMessage("Rain.", usage_metadata=usage, response_metadata={"model": ["x"]})])
    flow = Workflow("one", Article).add_node("write", agent(model, "Write", writes="draft"))
    with Runner(flow.add_edge(START, "write").add_edge("write", END), db=tmp_path / "r.db") as runner:
        done = runner.run({})
    assert (done.status, done.usage["tokens"]) == ("completed", counted)
