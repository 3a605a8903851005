"""A scripted model answers what the script says, and says where a call is not as the script says."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    trim_messages,
)
from langchain_core.runnables import ConfigurableField

from dalsegno.errors import DefinitionError, ScriptNotFollowed
from dalsegno.testing import HttpError, Reply, ScriptedChatModel


def invoke(model: Any, prompt: Any) -> AIMessage:
    answer: AIMessage = model.invoke(prompt)
    return answer


def ainvoke(model: Any, prompt: Any) -> AIMessage:
    answer: AIMessage = asyncio.run(model.ainvoke(prompt))
    return answer


def stream(model: Any, prompt: Any) -> AIMessage:
    first, *rest = model.stream(prompt)
    return sum(rest, first)  # type: ignore[no-any-return]


def astream(model: Any, prompt: Any) -> AIMessage:
    async def chunks() -> list[Any]:
        return [chunk async for chunk in model.astream(prompt)]

    first, *rest = asyncio.run(chunks())
    return sum(rest, first)  # type: ignore[no-any-return]


Ask = Callable[[Any, Any], AIMessage]


@pytest.fixture(params=[invoke, ainvoke, stream, astream], ids=lambda way: way.__name__)
def ask(request: pytest.FixtureRequest) -> Ask:
    """Each of the four ways to call a model."""
    way: Ask = request.param
    return way


def test_answers_come_in_the_order_of_the_script(ask: Ask) -> None:
    model = ScriptedChatModel(["one", AIMessage("two"), lambda messages: f"{len(messages)} messages"])
    assert [str(ask(model, "?").text) for _ in range(3)] == ["one", "two", "1 messages"]
    model.assert_done()


def test_a_batch_plays_an_answer_for_each_input() -> None:
    with ScriptedChatModel(["a", "b", "c"]) as model:
        answers = model.batch(["1", "2", "3"], config={"max_concurrency": 2})
    assert {answer.text for answer in answers} == {"a", "b", "c"}
    assert {call.text for call in model.calls} == {"1", "2", "3"}


def test_many_threads_get_every_answer_once() -> None:
    model = ScriptedChatModel([str(number) for number in range(200)])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: str(model.invoke(f"{number}").text), range(200)))
    assert sorted(answers, key=int) == [str(number) for number in range(200)]
    assert [call.number for call in model.calls] == list(range(1, 201))
    model.assert_done()


def test_a_function_of_the_messages_may_be_async_and_may_return_all_that_a_script_holds() -> None:
    async def later(messages: list[BaseMessage]) -> Any:
        return Reply(ValueError(str(messages[-1].text)), expect="boo")

    model = ScriptedChatModel([later, later])
    with pytest.raises(ValueError, match="boo!"):
        ainvoke(model, "boo!")
    with pytest.raises(ScriptNotFollowed, match="does not contain 'boo'"):
        ainvoke(model, "other")


def test_the_text_of_a_message_is_a_text(ask: Ask) -> None:
    model = ScriptedChatModel([AIMessage("one").text], then=lambda messages: messages[-1].text)
    assert [str(ask(model, "two").text) for _ in range(2)] == ["one", "two"]


def test_an_async_function_in_a_call_that_is_not_is_refused_with_a_reason() -> None:
    async def later(messages: list[BaseMessage]) -> str:
        return "later"

    with pytest.raises(DefinitionError, match="later is async, and the model was called synchronously"):
        ScriptedChatModel([later]).invoke("?")


@pytest.mark.parametrize("error", [TimeoutError("slow"), KeyError], ids=["instance", "class"])
def test_an_exception_in_the_script_is_raised(ask: Ask, error: Any) -> None:
    model = ScriptedChatModel([error, "after"])
    with pytest.raises(error if isinstance(error, type) else type(error)):
        ask(model, "?")
    assert ask(model, "?").text == "after"
    model.assert_done()


def test_latencies_are_waited_for_by_the_clock_that_was_given() -> None:
    waited: list[tuple[str, float]] = []

    async def asleep(seconds: float) -> None:
        waited.append(("async", seconds))

    script = [Reply("a b", latency=7, pause=0.5), Reply("a b", latency=8, pause=0.25), Reply("c", latency=9)]
    model = ScriptedChatModel(script, sleep=lambda s: waited.append(("sync", s)), asleep=asleep)
    assert stream(model, "?").text == "a b"
    assert astream(model, "?").text == "a b"
    assert invoke(model, "?").text == "c"
    assert waited == [
        *[("sync", seconds) for seconds in (7, 0.5, 0.5)],
        *[("async", seconds) for seconds in (8, 0.25, 0.25)],
        ("sync", 9),
    ]


# What is not as the script says


def test_an_exhausted_script_says_which_call_and_with_which_messages(ask: Ask) -> None:
    model = ScriptedChatModel(["one"])
    ask(model, "first")
    with pytest.raises(ScriptNotFollowed) as raised:
        ask(model, [SystemMessage("Be brief."), HumanMessage("second")])
    assert (raised.value.reason, raised.value.call) == ("exhausted", 2)
    assert str(raised.value) == (
        "Call 2 of the model: the script is exhausted; its only answer has been played. Add an answer, or `then=` "
        "for all later calls. The last of 2 messages:\n  system: Be brief.\n  human: second"
    )


def test_a_model_that_must_not_be_called_has_an_empty_script() -> None:
    with ScriptedChatModel([]) as model:
        pass
    with pytest.raises(ScriptNotFollowed, match="exhausted"):
        model.invoke("?")


def test_answers_that_are_left_over_are_named() -> None:
    model = ScriptedChatModel(["one", "two", {"name": "add", "args": {}}])
    model.invoke("?")
    with pytest.raises(
        ScriptNotFollowed, match=r"2 of 3 answers .* after 1 calls: 2 \('two'\), 3 \(.*add.*\)"
    ):
        model.assert_done()
    with pytest.raises(ScriptNotFollowed) as raised, model:
        pass
    assert (raised.value.reason, raised.value.call) == ("left over", None)


def test_an_error_in_the_block_is_not_hidden_by_answers_that_are_left_over() -> None:
    with pytest.raises(ZeroDivisionError), ScriptedChatModel(["one"]):
        raise ZeroDivisionError


def test_a_broken_script_is_reported_at_the_end_also_if_the_agent_recovered_from_it() -> None:
    model = ScriptedChatModel(["one"])
    forgiving = model.with_fallbacks([ScriptedChatModel(["fallback", "fallback"])])
    assert [forgiving.invoke("?").text for _ in range(2)] == ["one", "fallback"]
    with pytest.raises(ScriptNotFollowed, match="Call 2 of the model: the script is exhausted"):
        model.assert_done()


def test_a_prompt_has_to_contain_what_is_expected(ask: Ask) -> None:
    model = ScriptedChatModel([Reply("a", expect="rain"), Reply("b", expect=["wind", "rain", "snow"])])
    ask(model, [SystemMessage("It will rain."), HumanMessage("?")])
    with pytest.raises(
        ScriptNotFollowed, match="does not contain 'wind', 'snow', as the script expects"
    ) as raised:
        ask(model, "rain")
    assert (raised.value.reason, raised.value.call) == ("unexpected prompt", 2)


def test_what_is_expected_may_be_a_function_of_the_messages(ask: Ask) -> None:
    def ends_with_a_tool(messages: list[BaseMessage]) -> bool:
        return isinstance(messages[-1], ToolMessage)

    model = ScriptedChatModel([Reply("a", expect=ends_with_a_tool)] * 2)
    ask(model, [HumanMessage("?"), ToolMessage("3", tool_call_id="1")])
    with pytest.raises(ScriptNotFollowed, match="function ends_with_a_tool does not hold"):
        ask(model, "?")


def test_a_failed_assertion_in_the_script_is_not_lost() -> None:
    def asserts(messages: list[BaseMessage]) -> str:
        assert len(messages) == 2, "two messages"
        return "fine"

    model = ScriptedChatModel([asserts, Reply("b", expect=lambda messages: messages[7])])
    for error in (AssertionError, IndexError):
        with pytest.raises(error):
            model.invoke("?")
    with pytest.raises(
        ScriptNotFollowed, match="Call 1 of the model: the script raised AssertionError: two mess"
    ):
        model.assert_done()


def test_the_error_survives_pickling() -> None:
    with pytest.raises(ScriptNotFollowed) as raised:
        ScriptedChatModel([]).invoke("?")
    again = pickle.loads(pickle.dumps(raised.value))
    assert (str(again), again.reason, again.call) == (str(raised.value), "exhausted", 1)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("one", r"A script is a list of answers, not 'one'. Write \['one'\]"),
        (None, "A script is a list"),
        (["one", 2], "Entry 2 of the script is 2 "),
        ([HumanMessage("?")], "Entry 1 .* which a model does not answer"),
        ([[]], "Entry 1 of the script is"),
        ([["two texts", "at once"]], "Entry 1 of the script is"),
        ([HttpError(429)], "only a ScriptedServer answers"),
    ],
)
def test_a_script_that_no_model_could_play_is_refused(script: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        ScriptedChatModel(script)


@pytest.mark.parametrize(
    "options", [{"latency": -1}, {"pause": float("nan")}, {"usage": (1, -2)}, {"usage": (1, 2, 3)}]
)
def test_a_reply_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match=next(iter(options))):
        Reply("a", **options)


# The order of calls


def test_then_answers_every_call_after_the_script(ask: Ask) -> None:
    model = ScriptedChatModel(["first"], then=lambda messages: f"echo {messages[-1].text}")
    assert [str(ask(model, text).text) for text in "abc"] == ["first", "echo b", "echo c"]
    model.assert_done()


def test_without_an_order_each_call_plays_the_first_answer_that_expects_its_prompt() -> None:
    script = [Reply("R", expect="rain"), Reply("W", expect="wind"), Reply("R2", expect="rain"), "other"]
    with ScriptedChatModel(script, ordered=False) as model:
        answers = [str(model.invoke(text).text) for text in ("wind", "snow", "rain", "rain")]
    assert answers == ["W", "other", "R", "R2"]


def test_without_an_order_a_prompt_that_nothing_expects_is_an_error() -> None:
    model = ScriptedChatModel([Reply("R", expect="rain"), Reply("W", expect="wind")], ordered=False)
    with pytest.raises(
        ScriptNotFollowed, match="none of the 2 answers that are left fits the prompt: 1 expects 'rain'"
    ):
        model.invoke("snow")


# What is recorded, and copied


def test_every_call_is_recorded_with_its_messages_tools_and_keywords() -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    model = ScriptedChatModel(["one", "two"])
    model.invoke([SystemMessage("Be brief."), HumanMessage("?")], stop=["\n"])
    model.bind_tools([add], tool_choice="auto").bind(temperature=0).invoke("again")
    first, second = model.calls
    assert (first.number, first.text, first.tool_names, first.kwargs) == (
        1,
        "Be brief.\n?",
        (),
        {"stop": ["\n"]},
    )
    assert second.messages == (HumanMessage("again"),)
    assert second.tool_names == ("add",)
    assert second.tools[0]["function"]["parameters"]["required"] == ["a", "b"]
    assert second.kwargs == {"tool_choice": "auto", "temperature": 0}


def test_copies_and_bindings_play_one_script() -> None:
    model = ScriptedChatModel([str(number) for number in range(6)], model_name="m")
    others = [
        model.bind(stop=["x"]),
        model.with_config(tags=["t"]),
        model.model_copy(update={"model_name": "other"}),
        model.model_copy(deep=True),
        copy.deepcopy(model),
        model.configurable_fields(model_name=ConfigurableField("name")).with_config(
            configurable={"name": "c"}
        ),
    ]
    answers = [other.invoke("?") for other in others]
    assert [str(answer.text) for answer in answers] == list("012345")
    assert [answer.response_metadata["model_name"] for answer in answers] == [
        "m",
        "m",
        "other",
        "m",
        "m",
        "c",
    ]
    assert len(model.calls) == 6
    model.assert_done()


def test_the_messages_of_the_script_stay_as_they_were_written() -> None:
    written = AIMessage("one", tool_calls=[{"name": "add", "args": {}, "id": None}])
    before = written.model_copy(deep=True)
    for _ in range(2):
        answer = ScriptedChatModel([Reply(written, check=False)]).invoke("?")
        assert answer.id is not None
        answer.tool_calls[0]["args"]["x"] = 1
    assert written == before


def test_a_cache_of_the_process_does_not_answer_in_the_scripts_place() -> None:
    set_llm_cache(InMemoryCache())
    try:
        with ScriptedChatModel(["one", "two"]) as model:
            assert [str(model.invoke("same").text) for _ in range(2)] == ["one", "two"]
    finally:
        set_llm_cache(None)


# Usage


def test_usage_is_what_the_script_gives_or_else_counted(ask: Ask) -> None:
    given = AIMessage("b", usage_metadata={"input_tokens": 5, "output_tokens": 6, "total_tokens": 11})
    details = {
        "input_tokens": 9,
        "output_tokens": 1,
        "total_tokens": 10,
        "input_token_details": {"cache_read": 8},
    }
    model = ScriptedChatModel([Reply("a", usage=(3, 4)), given, Reply("c", usage=details), "Hello, world."])  # type: ignore[arg-type]
    usages = [
        ask(model, [SystemMessage("Be brief."), HumanMessage("Say hello")]).usage_metadata for _ in range(4)
    ]
    assert [(u["input_tokens"], u["output_tokens"], u["total_tokens"]) for u in usages if u] == [
        (3, 4, 7),
        (5, 6, 11),
        (9, 1, 10),
        (5, 4, 9),
    ]
    assert usages[2]
    assert usages[2].get("input_token_details") == {"cache_read": 8}


def test_callbacks_see_the_numbers_under_the_models_name(ask: Ask) -> None:
    handler = UsageMetadataCallbackHandler()
    model = ScriptedChatModel([Reply("a", usage=(3, 4)), Reply("b", usage=(10, 20))], model_name="small")
    for _ in range(2):
        ask(model.with_config(callbacks=[handler]), "?")
    assert handler.usage_metadata == {"small": {"input_tokens": 13, "output_tokens": 24, "total_tokens": 37}}


def test_a_model_may_report_no_usage(ask: Ask) -> None:
    assert ask(ScriptedChatModel(["a"], count_tokens=None), "?").usage_metadata is None


def test_tokens_are_counted_without_a_tokenizer_from_elsewhere() -> None:
    model = ScriptedChatModel([], count_tokens=len)
    assert model.get_num_tokens("four") == 4
    messages = [HumanMessage("one"), AIMessage("twelve chars"), HumanMessage("two")]
    assert trim_messages(messages, max_tokens=4, token_counter=model) == [messages[-1]]


def test_side_by_side_calls_do_not_wait_for_each_other() -> None:
    """The second call is answered while the first one still waits."""
    waiting, go_on = threading.Event(), threading.Event()

    def sleep(seconds: float) -> None:
        waiting.set()
        assert go_on.wait(10)

    model = ScriptedChatModel([Reply("slow", latency=1), "quick"], sleep=sleep)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(model.invoke, "?")
        assert waiting.wait(10)
        assert model.invoke("?").text == "quick"
        go_on.set()
        assert slow.result().text == "slow"
