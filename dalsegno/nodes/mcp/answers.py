"""What an MCP server answers: errors told apart, tools, and results as a model reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from dalsegno.errors import ToolFailed
from dalsegno.nodes.tooling import is_composed

if TYPE_CHECKING:
    from dalsegno.nodes.mcp.server import McpServer

TOLD = "dalsegno/http"
"""Under which name an error of the session holds what HTTP said: `status`, `retry_after` in seconds, `over`."""

CLOSED = -32000
"""The code by which the SDK says that the connection is closed."""


def http_error(error: BaseException) -> Mapping[str, Any] | None:
    """What HTTP said of an error, where that is all that was said."""
    data = getattr(error, "data", None)
    told = data.get(TOLD) if isinstance(data, Mapping) else None
    return told if isinstance(told, Mapping) else None


def is_over(error: BaseException) -> bool:
    """Whether the server did nothing, for it does not know the session any more."""
    return bool((http_error(error) or {}).get("over"))


def is_answer(error: BaseException) -> bool:
    """Whether something was answered, however wrong."""
    from mcp import MCPError

    if isinstance(error, MCPError):
        return error.code != CLOSED and not is_over(error)
    # The SDK raises these: what came does not fit the protocol, or the schema.
    return isinstance(error, ValueError | RuntimeError)


def first_problem(error: Exception) -> str:
    """What is wrong first."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def input_schema(given: Mapping[str, Any]) -> dict[str, Any]:
    """A tool's input as models' providers take it: some servers leave out what is empty, or say null."""
    known = {key: value for key, value in given.items() if value is not None}
    return known if "properties" in known or is_composed(known) else known | {"properties": {}}


async def described_tools(client: Any) -> list[Any]:
    """The tools of all pages, as the SDK describes them."""
    found: list[Any] = []
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if not cursor:
            return found


def read_result(name: str, result: Any, server: McpServer) -> tuple[Any, Any]:
    """A result's content: text where it is only text, else LangChain's content blocks; and its data."""
    texts = [block.text for block in result.content if block.type == "text"]
    if result.is_error:
        problem = server.without_secrets("\n".join(texts)) or "it says no more"
        raise ToolFailed(
            f"The tool `{name}` of the MCP server `{server.name}` failed: {problem}",
            node="",
            tool=name,
            problem=problem,
        )
    data = result.structured_content
    if isinstance(data, Mapping) and list(data) == ["result"] and not _is_said_as_it_is(data, texts):
        data = data["result"]  # how the SDK wraps what is no object
    if len(texts) == len(result.content):
        return "\n".join(texts), data
    return [_block(block) for block in result.content], data


def _is_said_as_it_is(data: Any, texts: Sequence[str]) -> bool:
    """Whether the text of a result is its data: of what the SDK wraps it is what is in the wrapping."""
    try:
        return len(texts) == 1 and json.loads(texts[0]) == data
    except ValueError:
        return False


def _block(block: Any) -> dict[str, Any]:
    if block.type == "text":
        return {"type": "text", "text": block.text}
    if block.type in ("image", "audio"):
        return {"type": block.type, "base64": block.data, "mime_type": block.mime_type}
    return {"type": "text", "text": block.model_dump_json(by_alias=True, exclude_none=True)}
