"""The players by name; `dalsegno.nodes.agent` is the room's file, and the name in it is the same."""

from dalsegno.nodes.agent import agent
from dalsegno.nodes.human import human
from dalsegno.nodes.remote import remote
from dalsegno.nodes.tool import tool

__all__ = ["agent", "human", "remote", "tool"]
