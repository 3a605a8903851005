"""Names of attributes, spans and instruments: OpenTelemetry's conventions for generative AI, and our own.

The conventions are still in development; what they are called stands here and nowhere else. Source: OpenTelemetry
semantic conventions, "Generative AI" (spans, agent spans, client metrics).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
TOKEN_TYPE: Final = "gen_ai.token.type"
AGENT: Final = "gen_ai.agent.name"
TOOL: Final = "gen_ai.tool.name"
CONVERSATION: Final = "gen_ai.conversation.id"
INPUT: Final = "gen_ai.input.messages"
OUTPUT: Final = "gen_ai.output.messages"
TOOL_INPUT: Final = "gen_ai.tool.call.arguments"
TOOL_OUTPUT: Final = "gen_ai.tool.call.result"
ERROR: Final = "error.type"

WORKFLOW: Final = "dalsegno.workflow"
RUN: Final = "dalsegno.run.id"
STATUS: Final = "dalsegno.run.status"
RESUMED: Final = "dalsegno.run.resumed"
NODE: Final = "dalsegno.node"
KIND: Final = "dalsegno.node.kind"
SUPERSTEP: Final = "dalsegno.superstep"
OCCURRENCE: Final = "dalsegno.occurrence"
INDEX: Final = "dalsegno.send.index"
TAKEN: Final = "dalsegno.taken"
ATTEMPT: Final = "dalsegno.attempt"
POLICY: Final = "dalsegno.policy"
ACTION: Final = "dalsegno.policy.action"

OPERATIONS: Final[Mapping[str, str]] = {
    "agent": "invoke_agent",
    "remote": "invoke_agent",
    "tool": "execute_tool",
    "model": "chat",
}
"""The conventions' operation of a kind of node or call."""

TOKEN_BUCKETS: Final = (
    1,
    4,
    16,
    64,
    256,
    1024,
    4096,
    16384,
    65536,
    262144,
    1048576,
    4194304,
    16777216,
    67108864,
)
SECOND_BUCKETS: Final = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
)
"""Bounds of histograms, as the conventions advise."""


def span_name(kind: str, name: str) -> str:
    """What a span of a node or a call is called.

    >>> span_name("agent", "write"), span_name("function", "sort")
    ('invoke_agent write', 'sort')
    """
    operation = OPERATIONS.get(kind)
    return f"{operation} {name}" if operation else name
