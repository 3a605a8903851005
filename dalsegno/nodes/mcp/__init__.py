"""Tools of servers that speak the Model Context Protocol, over stdio or HTTP."""

from dalsegno.nodes.mcp.server import IDEMPOTENCY_KEY, McpServer, McpTool, mcp_server

__all__ = ["IDEMPOTENCY_KEY", "McpServer", "McpTool", "mcp_server"]
