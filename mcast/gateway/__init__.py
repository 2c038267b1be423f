"""Doors into a group for who has no mcast: lines over TCP, and a web page.

async with mcast.aio.join(name="gate") as group:
    lobby = mcast.gateway.Lobby(group)
    async with mcast.gateway.Lines(lobby, "127.0.0.1:3000"):
        await lobby.run()
"""

import typing

from .lines import Echo, Lines
from .lobby import Lobby

if typing.TYPE_CHECKING:
    from .web import Web

__all__ = ["Echo", "Lines", "Lobby", "Web"]

if not typing.TYPE_CHECKING:  # for a type checker every name would exist

    def __getattr__(name):
        """Web needs packages that only the extra `web` installs."""
        if name == "Web":
            from .web import Web

            return Web
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
