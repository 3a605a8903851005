"""The port of an agent of this machine: kept for it, and asked whether it is well."""

from __future__ import annotations

import errno
import http.client
import socket

from dalsegno.errors import AgentNotStarted
from dalsegno.nodes.remote.local import Local

LOOK = 1.0
"""Seconds that one look at an agent's health may take."""


def taken(local: Local, port: int) -> socket.socket:
    """The port, bound and not listening: the agent can have it, and nobody who asks for any."""
    family = socket.AF_INET6 if ":" in local.host else socket.AF_INET
    kept = socket.socket(family, socket.SOCK_STREAM)
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        kept.bind(("127.0.0.1" if local.host == "localhost" else local.host, port))
    except (OSError, OverflowError) as error:
        kept.close()
        name = local.agent.name
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            message = (
                f"Port {port}, which the agent `{name}` would have, is taken by another process. End that one, or give "
                "the agents other ports."
            )
        else:
            message = f"The agent `{name}` cannot have port {port}: {error}."
        raise AgentNotStarted(message, agent=name, reason="port", output=()) from error
    return kept


def unwell(local: Local) -> str | None:
    """Why an agent is not well; None where it is."""
    connection = http.client.HTTPConnection(local.host, local.port, timeout=LOOK)
    try:
        connection.request("GET", local.health)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"GET {local.health} fails ({error or type(error).__name__})"
    finally:
        connection.close()
    return None if 200 <= status < 300 else f"GET {local.health} answers with status {status}"
