"""A node asks an agent over A2A 1.0: the SDK's own server, in a thread, in every way it can answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import pytest
import uvicorn
from a2a.helpers.proto_helpers import new_data_part, new_message, new_task_from_user_message, new_text_part
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Role
from starlette.applications import Starlette

from dalsegno import END, START, RetryPolicy, Runner, Timeout, Workflow
from dalsegno.errors import (
    AddressRefused,
    DefinitionError,
    Fenced,
    MissingExtra,
    PlayerError,
    RemoteAnswerInvalid,
    RemoteFault,
    RemoteStatus,
    RemoteTaskEnded,
    RemoteTimeout,
    RemoteUnreachable,
)
from dalsegno.nodes.policies import ManualClock
from dalsegno.nodes.remote import remote
from dalsegno.nodes.remote.clients import close

ROOT = Path(__file__).parents[3]


class State(TypedDict, total=False):
    question: str
    answer: Any


class Work(AgentExecutor):
    """Does what the first word of a message says."""

    def __init__(self) -> None:
        self.release, self.told = threading.Event(), threading.Event()
        self.reset()

    def reset(self) -> None:
        """What is under way ends, and nothing has been."""
        self.release.set()
        self.told.set()
        self.cancelled: list[str] = []
        self.begun = threading.Event()
        self.told = threading.Event()
        self.release = threading.Event()

    async def execute(self, context: Any, event_queue: Any) -> None:
        release, word = self.release, context.get_user_input().split()[0]
        if word == "message":
            await event_queue.enqueue_event(new_message([new_text_part("at once")], role=Role.ROLE_AGENT))
            return
        if word == "raise":
            raise RuntimeError("out of order")
        if word == "silent":
            self.begun.set()
            while not self.told.is_set():
                await asyncio.sleep(0.01)
        task = new_task_from_user_message(context.message)
        await event_queue.enqueue_event(task)
        told = TaskUpdater(event_queue, task.id, task.context_id)
        await told.start_work(told.new_agent_message([new_text_part("thinking")]))
        if word in ("wait", "silent"):
            self.begun.set()
            while not release.is_set():
                await asyncio.sleep(0.01)
        if word in ("fail", "reject", "back", "login"):
            end = {
                "fail": told.failed,
                "reject": told.reject,
                "back": told.requires_input,
                "login": told.requires_auth,
            }[word]
            await end(told.new_agent_message([new_text_part("which one?")]))
            return
        if word == "data":
            given = [part for part in context.message.parts if part.HasField("data")]
            await told.add_artifact(
                [new_text_part("here"), new_data_part({"n": 3, "x": 1.5, "given": len(given)})]
            )
        elif word == "parts":
            await told.add_artifact([new_text_part("one")], artifact_id="a")
            await told.add_artifact([new_text_part("two")], artifact_id="a", append=True, last_chunk=True)
        elif word == "said":
            await told.complete(told.new_agent_message([new_text_part("no artifact")]))
            return
        else:
            await told.add_artifact([new_text_part(context.get_user_input())])
        await told.complete()

    async def cancel(self, context: Any, event_queue: Any) -> None:
        self.cancelled.append(context.task_id)
        self.release.set()
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


@dataclass
class Served:
    """An agent of the SDK on loopback."""

    work: Work = field(default_factory=Work)
    heard: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    refuse: Callable[[str], int | None] = lambda path: None
    url: str = ""

    def methods(self) -> list[str]:
        return [body.get("method", "") for _, _, _, body in self.heard if body]

    def start(
        self, *, streaming: bool, binding: str = "JSONRPC", at: str | None = None
    ) -> Callable[[], None]:
        listener = socket.socket(
            socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
        )  # so that it has no delay
        listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        card = AgentCard(
            name="Worker",
            description="does as it is told",
            version="1",
            capabilities=AgentCapabilities(streaming=streaming),
            default_input_modes=["text/plain"],
            default_output_modes=["text/plain"],
            skills=[AgentSkill(id="work", name="Work", description="works", tags=["work"])],
            supported_interfaces=[
                AgentInterface(url=at or f"{self.url}/a2a", protocol_binding=binding, protocol_version="1.0")
            ],
        )
        handler = DefaultRequestHandler(
            agent_executor=self.work, task_store=InMemoryTaskStore(), agent_card=card
        )
        spoken = (
            create_jsonrpc_routes(handler, "/a2a")
            if binding == "JSONRPC"
            else create_rest_routes(handler, path_prefix="/a2a")
        )
        app = Starlette(routes=[*create_agent_card_routes(card), *spoken])
        config = uvicorn.Config(
            self._listening(app), log_level="error", lifespan="off", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        until = time.monotonic() + 20
        while not server.started and time.monotonic() < until:
            time.sleep(0.005)

        def stop() -> None:
            self.work.release.set()
            server.should_exit = True
            thread.join(20)
            listener.close()

        return stop

    def _listening(self, app: Any) -> Any:
        async def heard(scope: Any, receive: Any, send: Any) -> None:
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            body = b""
            while True:
                message = await receive()
                body += message.get("body", b"")
                if not message.get("more_body"):
                    break
            self.heard.append((scope["method"], scope["path"], headers, json.loads(body) if body else None))
            status = self.refuse(scope["path"])
            if status is not None:
                await send({"type": "http.response.start", "status": status, "headers": []})
                await send({"type": "http.response.body", "body": b"refused"})
                return
            given = iter([{"type": "http.request", "body": body, "more_body": False}])

            async def again() -> Any:
                return next(given, None) or await receive()

            await app(scope, again, send)

        return heard


@pytest.fixture(scope="module")
def standing() -> Iterator[Callable[..., Served]]:
    """Agents of a kind, started once: a start and an end take longer than a question."""
    known: dict[Any, tuple[Served, Callable[[], None]]] = {}

    def serve(**options: Any) -> Served:
        key = tuple(sorted(options.items()))
        if key not in known:
            served = Served()
            known[key] = served, served.start(**{"streaming": False, **options})
        return known[key][0]

    yield serve
    for served, stop in known.values():
        served.work.release.set()
        stop()


@pytest.fixture
def serve(standing: Callable[..., Served]) -> Iterator[Callable[..., Served]]:
    used = []

    def start(**options: Any) -> Served:
        served = standing(**options)
        used.append(served)
        served.work.reset()
        served.heard.clear()
        served.refuse = lambda path: None
        return served

    yield start
    close()
    for served in used:
        served.work.reset()


KINDS = {"streamed": {"streaming": True}, "polled": {}, "rest": {"binding": "HTTP+JSON"}}


@pytest.fixture(params=KINDS)
def worker(request: pytest.FixtureRequest, serve: Callable[..., Served]) -> Served:
    """An agent that streams, one that is polled, and one that speaks A2A's other binding."""
    return serve(**KINDS[request.param])


def asking(worker: Served, **options: Any) -> Any:
    usual = {"prompt": "{question}", "writes": "answer", "allow_private": True, "timeout": 20, "poll": 0.01}
    return remote(worker.url, protocol="a2a", **usual | options)


@pytest.fixture(params=["sync", "async"])
def tell(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Asks an agent, in both colours."""

    def call(worker: Served, question: str, **options: Any) -> Any:
        player, state = asking(worker, **options), {"question": question}
        update = player.invoke(state) if request.param == "sync" else asyncio.run(player.ainvoke(state))
        return update["answer"]

    return call


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("echo me", "echo me"),
        ("message", "at once"),
        ("parts", "one\ntwo"),
        ("said", "no artifact"),
        ("data", {"n": 3, "x": 1.5, "given": 0}),
    ],
)
def test_an_agent_is_found_by_its_card_and_answers(
    worker: Served, tell: Any, question: str, answer: Any
) -> None:
    assert tell(worker, question) == answer
    assert worker.heard[0][:2] == ("GET", "/.well-known/agent-card.json")


def test_whole_numbers_stay_whole(worker: Served, tell: Any) -> None:
    assert isinstance(tell(worker, "data")["n"], int)


def test_params_are_a_part_of_the_message_as_data(serve: Any, tell: Any) -> None:
    worker = serve()
    assert tell(worker, "data", params={"q": "question"})["given"] == 1
    parts = worker.heard[1][3]["params"]["message"]["parts"]
    assert parts == [{"text": "data"}, {"data": {"q": "data"}}]


@pytest.mark.parametrize(
    "value", [2**53 + 1, 10**400, math.nan, "\ud800"], ids=["float", "huge", "nan", "half"]
)
def test_what_a2a_cannot_say_is_not_sent(serve: Any, tell: Any, value: Any) -> None:
    worker = serve()
    with pytest.raises(PlayerError, match="cannot be said in A2A"):
        tell(worker, "data", params=lambda state: {"q": value, "n": 7})
    assert worker.methods() == []


def test_the_card_is_looked_at_once_for_many_questions(serve: Any) -> None:
    worker = serve()
    player = asking(worker)
    for _ in range(3):
        player.invoke({"question": "message"})
    assert [path for _, path, _, _ in worker.heard].count("/.well-known/agent-card.json") == 1


def test_a_card_can_be_named_itself(serve: Any) -> None:
    worker = serve()
    player = remote(
        f"{worker.url}/.well-known/agent-card.json",
        protocol="a2a",
        prompt="message",
        writes="answer",
        allow_private=True,
    )
    assert player.invoke({}) == {"answer": "at once"}


@pytest.mark.parametrize(
    ("question", "state", "hint"),
    [
        ("fail", "failed", "which one"),
        ("reject", "rejected", "which one"),
        ("back", "input required", "asks back"),
        ("login", "auth required", "credentials"),
    ],
)
def test_a_task_that_ends_without_an_answer_is_an_error(
    worker: Served, tell: Any, question: str, state: str, hint: str
) -> None:
    with pytest.raises(RemoteTaskEnded, match=hint) as caught:
        tell(worker, question)
    assert (caught.value.state, caught.value.said) == (state, "which one?")
    assert caught.value.task_id


def test_an_agent_that_fails_inside_answers_with_an_error(serve: Any, tell: Any) -> None:
    with pytest.raises((RemoteFault, RemoteTaskEnded)):
        tell(serve(), "raise")


def later(action: Callable[[], Any], when: threading.Event) -> threading.Thread:
    def wait() -> None:
        assert when.wait(20)
        action()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_long_task_is_waited_for(worker: Served, tell: Any) -> None:
    released = later(worker.work.release.set, worker.work.begun)
    assert tell(worker, "wait for it") == "wait for it"
    released.join()


def test_a_long_task_is_polled_where_the_agent_does_not_stream(serve: Any) -> None:
    worker = serve()

    def release() -> None:
        until = time.monotonic() + 20
        while worker.methods().count("GetTask") < 3 and time.monotonic() < until:
            time.sleep(0.005)
        worker.work.release.set()

    released = later(release, worker.work.begun)
    assert asking(worker).invoke({"question": "wait"}) == {"answer": "wait"}
    released.join()
    assert worker.methods().count("GetTask") >= 3
    assert worker.methods().count("SendMessage") == 1


def until_cancelled(worker: Served) -> list[str]:
    limit = time.monotonic() + 20
    while not worker.work.cancelled and time.monotonic() < limit:
        time.sleep(0.005)
    return worker.work.cancelled


def test_a_task_that_takes_too_long_is_cancelled_at_the_agent(worker: Served, tell: Any) -> None:
    with pytest.raises(RemoteTimeout):
        tell(worker, "wait", timeout=1.5)
    assert worker.work.begun.is_set()
    assert len(until_cancelled(worker)) == 1


def test_a_call_that_is_given_up_before_the_agent_names_its_task_leaves_nothing_behind(
    worker: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits to be told of the task, and is cancelled again meanwhile."""
    monkeypatch.setattr("dalsegno.nodes.remote.a2a.GRACE", 0.2)
    monkeypatch.setattr("dalsegno.nodes.cancelling.AGAIN", 0.05)

    async def left() -> list[Any]:
        with pytest.raises(RemoteTimeout):
            await asking(worker, timeout=0.5).ainvoke({"question": "silent"})
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert asyncio.run(left()) == []


def one_node(node: Any, **options: Any) -> Workflow:
    return (
        Workflow("asking", State).add_node("ask", node, **options).add_edge(START, "ask").add_edge("ask", END)
    )


@pytest.mark.parametrize("way", ["run", "arun"])
def test_a_nodes_timeout_cancels_the_task_at_the_agent(worker: Served, tmp_path: Path, way: str) -> None:
    clock = ManualClock()
    flow = one_node(asking(worker), timeout=Timeout(attempt=5, clock=clock))
    late = later(lambda: clock.advance(6), worker.work.begun)
    with Runner(flow, db=str(tmp_path / "runs.db")) as runner:
        state = {"question": "wait"}
        result = runner.run(state) if way == "run" else asyncio.run(runner.arun(state))
    late.join()
    assert result.error["type"] == "NodeTimeout"
    assert len(until_cancelled(worker)) == 1


def test_a_run_that_is_cancelled_cancels_the_task_at_the_agent(worker: Served, tmp_path: Path) -> None:
    with Runner(one_node(asking(worker)), db=str(tmp_path / "runs.db")) as runner:
        cancelled = later(lambda: runner.cancel("one"), worker.work.begun)
        assert runner.run({"question": "wait"}, thread="one").status == "cancelled"
        cancelled.join()
    assert len(until_cancelled(worker)) == 1


def test_a_task_that_cannot_be_kept_is_cancelled_at_the_agent(worker: Served, tmp_path: Path) -> None:
    """Nobody would find it again. Here another process takes the thread over before the agent has named the task."""
    with Runner(one_node(asking(worker)), db=str(tmp_path / "runs.db")) as runner:

        def take_over() -> None:
            with runner.ledger.database.transaction() as connection:
                connection.execute("UPDATE leases SET token = 'of another process'")
            worker.work.told.set()

        taken = later(take_over, worker.work.begun)
        with pytest.raises(Fenced):
            runner.run({"question": "silent"}, thread="t")
        taken.join()
    assert len(until_cancelled(worker)) == 1


def test_without_the_sdk_the_error_names_what_to_install(serve: Any, tell: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "a2a.client", None)
    with pytest.raises(MissingExtra, match=r"dalsegno\[a2a\]") as caught:
        tell(serve(), "message")
    assert caught.value.extra == "a2a"


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_what_the_agent_says_meanwhile_is_in_the_runs_stream(serve: Any, tmp_path: Path, way: str) -> None:
    worker = serve(streaming=True)
    with Runner(one_node(asking(worker, name="ada")), db=str(tmp_path / "runs.db")) as runner:

        async def chunks() -> list[Any]:
            return [chunk async for chunk in runner.astream({"question": "parts"}, stream_mode="custom")]

        told = (
            list(runner.stream({"question": "parts"}, stream_mode="custom"))
            if way == "stream"
            else asyncio.run(chunks())
        )
    assert {"agent": "ada", "state": "working", "text": "thinking"} in told
    assert [each["text"] for each in told if each["text"] in ("one", "two")] == ["one", "two"]


PROGRAM = """
import sys
from typing import Any, TypedDict

from dalsegno import END, START, Runner, Workflow
from dalsegno.nodes.remote import remote


class State(TypedDict, total=False):
    question: str
    answer: Any


def flow(url):
    node = remote(url, protocol="a2a", prompt="{question}", writes="answer", allow_private=True, poll=0.01)
    return Workflow("asking", State).add_node("ask", node).add_edge(START, "ask").add_edge("ask", END)


if __name__ == "__main__":
    with Runner(flow(sys.argv[1]), db=sys.argv[2]) as runner:
        runner.run({"question": "wait"}, thread="one")
"""


def test_a_process_that_dies_leaves_a_task_that_its_resume_goes_on_with(serve: Any, tmp_path: Path) -> None:
    worker = serve()
    program, db = tmp_path / "asking.py", str(tmp_path / "runs.db")
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, str(program), worker.url, db], env=environment) as process:
        assert worker.work.begun.wait(60)
        until = time.monotonic() + 20
        while not kept(db) and time.monotonic() < until:
            time.sleep(0.005)
        process.kill()
    worker.work.release.set()
    with Runner(one_node(asking(worker)), db=db) as runner:
        assert runner.resume("one").output["answer"] == "wait"
    assert len([body for *_, body in worker.heard if body and "message" in (body.get("params") or body)]) == 1


def kept(db: str) -> bool:
    """Whether the ledger knows of the task."""
    if not Path(db).exists():
        return False
    with contextlib.closing(sqlite3.connect(db)) as connection, contextlib.suppress(sqlite3.Error):
        found = connection.execute("SELECT 1 FROM effects WHERE name = 'a2a task 1'").fetchone()
        return found is not None
    return False


def test_a_further_attempt_goes_on_with_the_task_of_a_connection_that_broke(
    agent: Any, say: Any, tmp_path: Path
) -> None:
    looks = []

    def answer(request: Any, connection: socket.socket) -> Any:
        task: dict[str, Any] = {"id": "t1", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}
        if request.rpc["method"] == "SendMessage":
            return say.result(request, {"task": task})
        looks.append(request)
        if len(looks) == 1:
            return None  # the connection is cut
        if len(looks) > 2:
            part = {"artifactId": "a", "parts": [{"text": "after all"}]}
            task |= {"status": {"state": "TASK_STATE_COMPLETED"}, "artifacts": [part]}
        return say.result(request, task)

    server = agent()
    server.answer = carded(say, server, answer, streaming=False)
    node = remote(server.url, protocol="a2a", prompt="hello", writes="answer", allow_private=True, poll=0.01)
    with Runner(
        one_node(node, retry=RetryPolicy(clock=ManualClock())), db=str(tmp_path / "runs.db")
    ) as runner:
        assert runner.run({}).output["answer"] == "after all"
    assert [r.rpc["method"] for r in server.requests if r.body].count("SendMessage") == 1


class Tasks:
    """An agent whose every message makes a task, which is over when it is looked at the second time.

    `breaks` are the looks at which the connection is cut, `says` what each task answers.
    """

    def __init__(self, say: Any, server: Any, *, says: list[str], breaks: tuple[int, ...] = ()) -> None:
        self.sent, self.looks = 0, 0
        self._say, self._says, self._breaks = say, says, breaks
        server.answer = carded(say, server, self._answer, streaming=False)

    def _answer(self, request: Any, connection: socket.socket) -> Any:
        task: dict[str, Any] = {
            "id": f"t{self.sent}",
            "contextId": "c",
            "status": {"state": "TASK_STATE_WORKING"},
        }
        if request.rpc["method"] == "SendMessage":
            self.sent += 1
            return self._say.result(request, {"task": task | {"id": f"t{self.sent}"}})
        self.looks += 1
        if self.looks in self._breaks:
            return None
        part = {"artifactId": "a", "parts": [{"data": {"n": self._says[self.sent - 1]}}]}
        done = {"status": {"state": "TASK_STATE_COMPLETED"}, "artifacts": [part]}
        return self._say.result(request, task | done)


class Counted(TypedDict):
    n: int


def test_a_task_that_was_completed_while_the_connection_was_cut_is_not_begun_again(
    agent: Any, say: Any, tmp_path: Path
) -> None:
    server = agent()
    tasks = Tasks(say, server, says=["3", "4"], breaks=(1,))
    node = remote(server.url, protocol="a2a", prompt="hello", writes="answer", allow_private=True, poll=0.01)
    flow = one_node(node, retry=RetryPolicy(clock=ManualClock()))
    with Runner(flow, db=str(tmp_path / "runs.db")) as runner:
        assert runner.run({}).output["answer"] == {"n": "3"}
    assert tasks.sent == 1


def test_an_attempt_after_an_answer_that_was_no_good_asks_again(agent: Any, say: Any, tmp_path: Path) -> None:
    server = agent()
    tasks = Tasks(say, server, says=["none", "4"])
    ask = remote(server.url, protocol="a2a", prompt="hello", writes="answer", allow_private=True, poll=0.01)

    async def particular(state: State) -> State:
        answer = (await ask.ainvoke(state))["answer"]
        return {"answer": int(answer["n"])}

    flow = one_node(particular, retry=RetryPolicy(retry_on=ValueError, clock=ManualClock()))
    with Runner(flow, db=str(tmp_path / "runs.db")) as runner:
        assert runner.run({}).output["answer"] == 4
    assert tasks.sent == 2


def test_a_resume_after_an_answer_that_did_not_fit_asks_again(agent: Any, say: Any, tmp_path: Path) -> None:
    server = agent()
    tasks = Tasks(say, server, says=["none", "4"])
    options: Any = {"output": Counted, "allow_private": True, "poll": 0.01}
    ask = remote(server.url, protocol="a2a", prompt="hello", writes="answer", **options)
    with Runner(one_node(ask), db=str(tmp_path / "runs.db")) as runner:
        assert runner.run({}, thread="one").error["type"] == "RemoteAnswerInvalid"
        assert runner.resume("one").output["answer"] == {"n": 4}
    assert tasks.sent == 2


def test_the_task_of_another_agent_is_not_taken_for_ones_own(agent: Any, say: Any, tmp_path: Path) -> None:
    """Agents may name their tasks by numbers: of a skill that two have, a retry asks the other one."""
    first, second = agent(), agent()
    others = Tasks(say, second, says=["of somebody else", "mine"])
    others.sent = 1
    one, listed = Tasks(say, first, says=["late"], breaks=(1,)), tmp_path / "agents.json"
    entries = [
        {"name": name, "url": server.url, "protocol": "a2a", "skills": ["count"]}
        for name, server in (("one", first), ("two", second))
    ]
    listed.write_text(json.dumps(entries))
    options: Any = {"prompt": "hello", "writes": "answer", "allow_private": True, "poll": 0.01}
    node = remote("skill:count", registry=listed, **options)
    flow = one_node(node, retry=RetryPolicy(clock=ManualClock()))
    with Runner(flow, db=str(tmp_path / "runs.db")) as runner:
        assert runner.run({}).output["answer"] == {"n": "mine"}
    assert (one.sent, others.sent) == (1, 2)


def test_a_task_that_failed_is_not_gone_on_with_by_the_next_attempt(serve: Any, tmp_path: Path) -> None:
    worker = serve()
    flow = one_node(
        asking(worker), retry=RetryPolicy(max_attempts=2, retry_on=RemoteTaskEnded, clock=ManualClock())
    )
    with Runner(flow, db=str(tmp_path / "runs.db")) as runner:
        assert runner.run({"question": "fail"}).error["type"] == "RemoteTaskEnded"
    assert worker.methods().count("SendMessage") == 2


def test_the_key_and_the_headers_go_with_the_message(worker: Served, tmp_path: Path) -> None:
    flow = one_node(asking(worker, headers={"Authorization": "Bearer sesame"}))
    with Runner(flow, db=str(tmp_path / "runs.db")) as runner:
        runner.run({"question": "message"})
    sent = [(headers, body) for method, _, headers, body in worker.heard if method == "POST"]
    assert all(headers["authorization"] == "Bearer sesame" for _, _, headers, _ in worker.heard)
    headers, body = sent[0]
    message = body["message"] if "message" in body else body["params"]["message"]
    assert message["messageId"] == headers["idempotency-key"]
    assert headers["a2a-version"] == "1.0"


def test_a_card_that_leads_inside_is_refused(serve: Any, tell: Any) -> None:
    worker = serve(at="http://10.0.0.7/a2a")
    with pytest.raises(AddressRefused) as caught:
        tell(worker, "message", allow_private=["127.0.0.1"])
    assert caught.value.address == "10.0.0.7"


def test_a_card_that_leads_elsewhere_takes_no_credentials_there(serve: Any, tell: Any) -> None:
    other = serve()
    worker = serve(at=f"{other.url}/a2a")
    assert tell(worker, "message", headers={"Authorization": "Bearer sesame"}) == "at once"
    assert "authorization" in worker.heard[0][2]
    assert "authorization" not in other.heard[0][2]


@pytest.mark.parametrize("at", ["ftp://a.example.org", "http://me:secret@127.0.0.1/", "/a2a"])
def test_a_card_with_an_address_that_is_none_is_told(serve: Any, tell: Any, at: str) -> None:
    with pytest.raises(RemoteAnswerInvalid) as caught:
        tell(serve(at=at), "message")
    assert caught.value.reason == "not A2A"
    assert "secret" not in str(caught.value)


def test_a_file_of_certificates_that_is_not_there_is_not_the_agents_fault(tmp_path: Path) -> None:
    gone = tmp_path / "none.pem"
    ask = remote("https://a.example.org", protocol="a2a", prompt="Why?", writes="answer", ca=gone)
    with pytest.raises(DefinitionError, match="there are no certificates to be read"):
        ask.invoke({})


@pytest.mark.parametrize(
    "card",
    [
        "{}",
        "[]",
        "nonsense",
        '{"name": 3}',
        '{"name": "x", "supportedInterfaces": [{"url": "x"}]}',
        "[" * 9999,
    ],
)
def test_what_is_no_card_is_told(agent: Any, say: Any, ask: Any, card: str) -> None:
    server = agent(lambda *_: say.http(card))
    with pytest.raises(RemoteAnswerInvalid) as caught:
        ask(server, method=None, protocol="a2a", prompt="hello")
    assert caught.value.reason == "not A2A"


def test_a_card_that_is_not_there_is_told_with_its_status(agent: Any, say: Any, ask: Any) -> None:
    server = agent(lambda *_: say.http("nothing here", status="404 Not Found", kind="text/plain"))
    with pytest.raises(RemoteStatus, match="404") as caught:
        ask(server, method=None, protocol="a2a", prompt="hello")
    assert not caught.value.retryable


def test_an_http_error_instead_of_an_answer_is_told_with_its_status(worker: Served, tell: Any) -> None:
    worker.refuse = lambda path: 503 if path.startswith("/a2a") else None
    with pytest.raises(RemoteStatus, match="503") as caught:
        tell(worker, "message")
    assert caught.value.retryable


def carded(say: Any, server: Any, answer: Callable[[Any, Any], Any], *, streaming: bool) -> Any:
    """An agent with a card as it should be, and answers of ours."""

    def respond(request: Any, connection: Any) -> Any:
        if request.method == "GET":
            interface = {"url": server.url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
            card = {"name": "x", "supportedInterfaces": [interface], "capabilities": {"streaming": streaming}}
            return say.http(json.dumps(card))
        return answer(request, connection)

    return respond


@pytest.mark.parametrize(
    "body",
    ["[]", "nonsense", '{"result": {}}', '{"result": 3}', '{"error": 3}', '{"result": {"task": {"id": 3}}}'],
)
@pytest.mark.parametrize("streaming", [True, False])
def test_what_is_no_answer_of_a2a_is_told(agent: Any, say: Any, ask: Any, body: str, streaming: bool) -> None:
    server = agent()
    server.answer = carded(say, server, lambda *_: say.http(body), streaming=streaming)
    with pytest.raises(RemoteAnswerInvalid) as caught:
        ask(server, method=None, protocol="a2a", prompt="hello")
    assert caught.value.reason == "not A2A"


@pytest.mark.parametrize("streaming", [True, False])
def test_an_error_of_a_code_of_the_agents_own_is_a_fault_as_any(
    agent: Any, say: Any, ask: Any, streaming: bool
) -> None:
    server = agent()
    error = {"code": -32099, "message": "too late."}
    told = lambda request, _: say.http(  # noqa: E731 - it is short
        json.dumps({"jsonrpc": "2.0", "id": request.rpc["id"], "error": error})
    )
    server.answer = carded(say, server, told, streaming=streaming)
    with pytest.raises(RemoteFault, match=r"answered with error -32099: too late\.$") as caught:
        ask(server, method=None, protocol="a2a", prompt="hello")
    assert (caught.value.code, caught.value.said, caught.value.retryable) == (-32099, "too late.", False)


def test_a_stream_that_ends_before_it_said_anything_may_be_tried_again(
    agent: Any, say: Any, ask: Any
) -> None:
    """Where only the end of the connection tells the end of the answer, nothing else says that it was cut."""

    def answer(request: Any, connection: socket.socket) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        connection.sendall(head + b'data: {"jsonrpc": "2.0", "id"')

    server = agent()
    server.answer = carded(say, server, answer, streaming=True)
    with pytest.raises(RemoteUnreachable, match="before it said anything") as caught:
        ask(server, method=None, protocol="a2a", prompt="hello")
    assert (caught.value.reason, caught.value.retryable) == ("cut", True)


def test_the_end_of_another_task_is_no_answer(agent: Any, say: Any, ask: Any) -> None:
    def answer(request: Any, _: Any) -> bytes:
        if request.rpc["method"] == "GetTask":
            parts = [{"text": "somebody else's"}]
            done = {"state": "TASK_STATE_COMPLETED"}
            return say.result(request, {"id": "t2", "status": done, "artifacts": [{"parts": parts}]})
        return say.result(request, {"task": {"id": "t1", "status": {"state": "TASK_STATE_WORKING"}}})

    server = agent()
    server.answer = carded(say, server, answer, streaming=False)
    with pytest.raises(RemoteAnswerInvalid, match="tells of the task t2, and the task is t1"):
        ask(server, method=None, protocol="a2a", prompt="hello")


def test_a_stream_that_never_ends_is_cut_off(agent: Any, say: Any, ask: Any) -> None:
    def answer(_: Any, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        while True:
            connection.sendall(b": " + b"still there " * 5000 + b"\n\n")

    server = agent()
    server.answer = carded(say, server, answer, streaming=True)
    with pytest.raises(RemoteAnswerInvalid) as caught:
        ask(server, method=None, protocol="a2a", prompt="hello", max_bytes=10**6)
    assert caught.value.reason == "too large"


def event(kind: str, **what: Any) -> bytes:
    data = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {kind: what}})
    return f"data: {data}\n\n".encode()


def test_a_stream_that_breaks_is_gone_on_with_by_looking_at_the_task(agent: Any, say: Any, ask: Any) -> None:
    def answer(request: Any, connection: socket.socket) -> Any:
        if request.rpc["method"] == "GetTask":
            part = {"artifactId": "a", "parts": [{"text": "after all"}]}
            return say.result(
                request, {"id": "t1", "status": {"state": "TASK_STATE_COMPLETED"}, "artifacts": [part]}
            )
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        begun = event("task", id="t1", contextId="c", status={"state": "TASK_STATE_WORKING"})
        connection.sendall(b"%x\r\n%s\r\n" % (len(begun), begun))
        return None

    server = agent()
    server.answer = carded(say, server, answer, streaming=True)
    assert ask(server, method=None, protocol="a2a", prompt="hello") == {"answer": "after all"}


def test_a_stream_that_breaks_before_there_is_a_task_may_be_tried_again(
    agent: Any, say: Any, ask: Any
) -> None:
    server = agent()
    server.answer = carded(say, server, lambda *_: None, streaming=True)
    with pytest.raises(RemoteUnreachable) as caught:
        ask(server, method=None, protocol="a2a", prompt="hello")
    assert caught.value.retryable
