"""Doors into a group for who has no mcast: lines over TCP, and a web page.

async with mcast.aio.join(name="gate") as group:
    lobby = mcast.gateway.Lobby(group)
    async with mcast.gateway.Lines(lobby, "127.0.0.1:3000"):
        await lobby.run()
"""

from .lines import Echo, Lines
from .lobby import Lobby

__all__ = ["Echo", "Lines", "Lobby"]
