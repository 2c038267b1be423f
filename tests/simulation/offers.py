"""Peers by the thousand, made up to fill the table of `browse`: names full of escapes, and the largest tags.

    python -m tests.simulation.offers [--peers 100000] [--seconds 60]

Each is properly signed and sealed, as anybody in an open room can do it, and is at an address of somebody
else. What the table of `browse` prints of them, and of the honest peer, is read as a script would.
"""

from __future__ import annotations

import argparse
import time
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from mcast.aio import Group
from mcast.cli.items import GroupContext, item_of
from mcast.cli.peer_table import PeerFilter, PeerTable, tabbed
from mcast.core.events import PeerJoined, PeerLeft, PeerUpdated
from mcast.crypto.signed import sign_frame
from mcast.settings import Settings
from mcast.wire import frames as f
from mcast.wire.attributes import Attributes, Service, encode_attributes
from mcast.wire.limits import ATTRIBUTES_MAX

from .flood import Flood, weight

NAME = "\x1b[2J\n+\thonest\t\u202e"
LINE = 9
"""Columns of a row."""


class Offers(Flood):
    """The attacker makes up peers, and nothing else."""

    def __init__(self, seed: int, settings: Settings) -> None:
        super().__init__(seed, settings)
        self.rows = self.broken = self.made = 0
        self.mine = self.bob.engine.peer_id
        self.listed = False
        self.table = PeerTable(PeerFilter(), self._printed)
        group = SimpleNamespace(
            groups=["230.0.0.1:1"],
            peer_id=self.ada.engine.peer_id,
            interface_of=lambda _: "eth0",
            links=SimpleNamespace(used=()),
        )
        self._group = group
        self._context = GroupContext(cast(Group, group), "")

    def invent(self, peers: int, seconds: float) -> None:
        """Make up so many peers in so many seconds, and show them as they come."""
        end = self.lan.now + seconds
        for number in range(peers):
            self._offer(number)
            self.made += 1
            if number % 50 == 0:
                self.lan.run(max(0.001, (end - self.lan.now) * 50 / max(50, peers - number)))
                self.show()
        self.show()

    def show(self) -> None:
        """Print what has happened, and forget it."""
        self._group.now = self.lan.now
        for event in self.ada.events():
            if isinstance(event, PeerJoined | PeerUpdated | PeerLeft):
                if event.peer.peer_id == self.mine:
                    self.listed = not isinstance(event, PeerLeft)
                self.table._show(item_of(cast(Any, event), self._context, 0.0))
        for life in self.ada.lives:
            life.events.clear()

    def _printed(self, change: Any) -> None:
        for line in tabbed(change):
            self.rows += 1
            cells = line.split("\t")
            self.broken += len(cells) != LINE or not line.replace("\t", "").isprintable()

    def _offer(self, number: int) -> None:
        identity, peer_id, _ = self._somebody()
        key = sign_frame(identity, self.lan.room.id, f.Key(identity.public_key, 1, NAME[:16]))
        tags = {"k\t\n\x1b": "x\n" * 100, "n": f"{number}", "pad": "y" * 255}
        attributes = encode_attributes(Attributes(tags, (Service("_http._tcp\n", 80),) * 8, NAME))
        assert len(attributes) <= ATTRIBUTES_MAX
        frame = msgspec.structs.replace(self._announcement(identity, peer_id), attributes=attributes)
        self._say(key, sign_frame(identity, self.lan.room.id, frame))


def main() -> None:
    """Flood as told on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peers", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    chosen = parser.parse_args()
    start = time.monotonic()
    offers = Offers(0, Settings())
    offers.invent(chosen.peers, chosen.seconds)
    known = len(offers.ada.peers())
    print(
        f"{offers.made} made up in {chosen.seconds:g} s: {known} listed, the honest one "
        f"{'is' if offers.listed else 'is NOT'} among them; {offers.rows} rows, {offers.broken} broken; "
        f"the engine holds {weight(offers.ada.engine) / 1e6:.0f} MB; {time.monotonic() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
