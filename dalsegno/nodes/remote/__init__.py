"""Agents elsewhere, asked over HTTP: JSON-RPC 2.0, A2A, and registries of who has which skill."""

from dalsegno.nodes.remote.node import Remote, remote
from dalsegno.nodes.remote.registry import Registry

__all__ = ["Registry", "Remote", "remote"]
