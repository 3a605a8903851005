"""A2A 1.0 (https://a2a-protocol.org), through its own SDK: an agent's card, a message, the task it makes of it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from dalsegno.errors import (
    DefinitionError,
    MissingExtra,
    RemoteError,
    RemoteFault,
    RemoteUnreachable,
)
from dalsegno.nodes.cancelling import ended, to_its_end
from dalsegno.nodes.remote.addresses import parsed
from dalsegno.nodes.remote.clients import clients
from dalsegno.nodes.remote.exchange import Question
from dalsegno.nodes.remote.remembering import Remembered
from dalsegno.nodes.remote.request import Asked
from dalsegno.nodes.remote.streaming import teller, text_of
from dalsegno.nodes.remote.tasks import Progress, answer_of, ended_otherwise, message_of
from dalsegno.nodes.remote.watching import watched

CARD_AGE = 300.0
"""Seconds for which an agent's card is taken as known."""
CANCELLING = 5.0
"""Seconds that the cancelling of a task may take."""
GRACE = 1.0
"""Seconds that a call which is given up waits to be told of its task, so that it can be cancelled."""


_OWN_CODE = re.compile(r"JSON-RPC Error (-?[0-9]+): (.*)", re.DOTALL)


class A2A:
    """Speaks to agents over A2A. `poll` are the seconds between two looks at a task that goes on."""

    def __init__(self, poll: float) -> None:
        self._poll = poll
        self._cards: dict[str, tuple[Any, float]] = {}

    async def call(self, url: str, question: Question, asked: Asked) -> Any:
        """What an agent answers: the data of its parts, else their text.

        Raises
        ------
        RemoteTaskEnded
            The agent's task ended without an answer: it failed, was refused, or waits for something.
        RemoteFault
            It answers with an error.
        RemoteAnswerInvalid
            Its card or its answer is not as the protocol says.
        MissingExtra
            The SDK is not installed.
        """
        _sdk()
        with _told(asked):
            try:
                client = await self._client(url, asked)
                return await watched(self._exchange(client, question, asked), asked, every=self._poll)
            except RemoteError:
                self._cards.pop(url, None)  # it may have moved
                raise

    async def _client(self, url: str, asked: Asked) -> Any:
        """The SDK's client for the agent's card."""
        from a2a.client import A2ACardResolver, ClientConfig, ClientFactory

        loop, http = asyncio.get_running_loop(), (await clients()).a2a
        known = self._cards.get(url)
        if known is None or loop.time() - known[1] > CARD_AGE:
            base, slash, path = url.rpartition("/")
            where = (base, path) if slash and path.endswith(".json") else (url,)
            known = self._cards[url] = (await A2ACardResolver(http, *where).get_agent_card(), loop.time())
        card = known[0]
        for interface in card.supported_interfaces:
            _check_address(interface.url)
        config = ClientConfig(
            httpx_client=http,
            polling=not card.capabilities.streaming,
            supported_protocol_bindings=["JSONRPC", "HTTP+JSON"],
        )
        return ClientFactory(config).create(card)

    async def _exchange(self, client: Any, question: Question, asked: Asked) -> Any:
        """Send the message, follow the task to its end. A task that is not wanted any more is cancelled."""
        progress = Progress()
        message = message_of(question, asked.headers.get("Idempotency-Key") or uuid.uuid4().hex, asked)
        following = asyncio.ensure_future(self._follow(client, message, progress, asked))
        try:
            await asyncio.shield(following)
        except asyncio.CancelledError:
            await to_its_end(_given_up(client, following, progress))
            raise
        if progress.answer is None:
            raise ended_otherwise(progress, asked)
        if progress.task_id is not None:
            Remembered(asked).give(progress.task_id)
        return answer_of(progress.answer)

    async def refused(self, asked: Asked) -> None:
        """What was answered is no answer to the question: a task that said it is not gone on with."""
        await Remembered(asked).forget()

    async def _follow(self, client: Any, message: Any, progress: Progress, asked: Asked) -> None:
        remembered = Remembered(asked)
        if not await self._found_again(client, remembered, progress):
            await self._send(client, message, remembered, progress, asked)
        while not progress.over:
            await self._look(client, progress, asked)

    async def _found_again(self, client: Any, remembered: Remembered, progress: Progress) -> bool:
        """Whether the task is there that this execution had before its process died, or its connection."""
        from a2a.types import GetTaskRequest
        from a2a.utils.errors import TaskNotFoundError

        task_id = await remembered.last()
        if task_id is None:
            return False
        try:
            task = await client.get_task(GetTaskRequest(id=task_id))
        except TaskNotFoundError:
            return False
        before = Progress()
        before.task_id = task_id
        before.take_task(task)
        if before.over and (before.answer is None or remembered.was_given(task_id)):
            return False
        progress.take_task(task)
        progress.looked = True
        return True

    async def _send(
        self, client: Any, message: Any, remembered: Remembered, progress: Progress, asked: Asked
    ) -> None:
        from a2a.types import SendMessageRequest

        tell, kept, heard = teller(asked.name), False, False
        try:
            async with _closing(client.send_message(SendMessageRequest(message=message))) as events:
                async for event in events:
                    heard = True
                    progress.take(event)
                    tell(progress.state, asked.scrub(text_of(event)))
                    if progress.over:
                        break
                    if progress.task_id is not None and not kept:
                        await _keep(client, remembered, progress, progress.task_id)
                        kept = True
        except RemoteUnreachable:
            if progress.task_id is None:
                raise  # else only the stream broke: the task goes on, and can be looked at
        if not heard:
            raise asked.unreachable("cut", "ended its answer before it said anything. A `retry` may help.")

    async def _look(self, client: Any, progress: Progress, asked: Asked) -> None:
        from a2a.types import GetTaskRequest

        if progress.task_id is None:
            raise asked.invalid("not A2A", "answered with neither a message nor a task")
        if progress.looked:
            await asyncio.sleep(self._poll)
        progress.take_task(await client.get_task(GetTaskRequest(id=progress.task_id)))
        progress.looked = True


async def _keep(client: Any, remembered: Remembered, progress: Progress, task_id: str) -> None:
    """Keep a task for whoever goes on. Where that is refused (its attempt was given up, or its run taken over, in this
    moment) nobody would find it again, so it is cancelled."""
    try:
        await remembered.keep(task_id)
    except Exception:
        await _cancel(client, progress)
        raise


async def _given_up(client: Any, following: asyncio.Future[None], progress: Progress) -> None:
    """End a call that nobody waits for any more, and its task at the agent."""
    if not progress.known.is_set():  # the message is on its way: without an answer there is nothing to cancel
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(progress.known.wait(), GRACE)
    await ended(following)
    await _cancel(client, progress)


async def _cancel(client: Any, progress: Progress) -> None:
    """Ask the agent to end a task; whether it does is its own affair."""
    from a2a.types import CancelTaskRequest

    if progress.task_id is None or progress.over:
        return
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CANCELLING):
            await client.cancel_task(CancelTaskRequest(id=progress.task_id))


@asynccontextmanager
async def _closing(events: AsyncIterator[Any]) -> AsyncIterator[AsyncIterator[Any]]:
    try:
        yield events
    finally:
        await events.aclose()  # type: ignore[attr-defined]  # the SDK's are generators


@contextlib.contextmanager
def _told(asked: Asked) -> Any:
    """The SDK's failures, as ours; those of the connection are ours already."""
    from a2a.client.errors import AgentCardResolutionError
    from a2a.utils.errors import JSON_RPC_ERROR_CODE_MAP, A2AError
    from google.protobuf.json_format import ParseError

    try:
        yield
    except RemoteError:
        raise
    except A2AError as error:
        answer = getattr(error.__cause__, "response", None)
        if isinstance(answer, httpx.Response):
            raise asked.status(answer) from error
        code, said = JSON_RPC_ERROR_CODE_MAP.get(type(error)), str(error)
        own = _OWN_CODE.fullmatch(said) if code is None else None
        if own is not None:  # one that A2A has no name for, which the SDK has in its text only
            code, said = int(own[1]), own[2]
        if code is None:
            what = (
                "has a card that is not one of A2A"
                if isinstance(error, AgentCardResolutionError)
                else "answered with what is not A2A"
            )
            raise asked.invalid("not A2A", f"{what}: {asked.excerpt(said).rstrip('.')}") from error
        meaning = type(error).__name__.removesuffix("Error") if own is None else None
        raise asked.fail(
            RemoteFault,
            f"answered with error {code}{f' ({meaning})' if meaning else ''}: {asked.excerpt(said).rstrip('.')}.",
            code=code,
            meaning=meaning,
            said=asked.scrub(said),
            details=asked.scrub(error.data),
            retryable=code == -32603,
        ) from error
    except (
        ParseError,
        httpx.InvalidURL,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
    ) as error:
        raise asked.invalid(
            "not A2A", f"answered with what is not A2A: {asked.excerpt(str(error)).rstrip('.')}"
        ) from error


def _check_address(url: str) -> None:
    """Refuse an address of a card that is none: what the agent says, and nobody here."""
    try:
        parsed(url, what="its card")
    except DefinitionError as error:
        raise ValueError(str(error)) from error


def _sdk() -> None:
    try:
        import a2a.client  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            'remote(protocol="a2a") needs A2A\'s SDK: pip install "dalsegno[a2a]".', extra="a2a"
        ) from error
