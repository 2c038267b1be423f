"""Over which links members are heard, and so who cannot hear whom though we hear both.

A link is an interface and an IP version, as an integer: twice the interface's index, and 1 more for IPv6.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from functools import reduce
from operator import and_

from mcast.wire.frames import HEARS_IPV4, HEARS_IPV6

from .peer_id import PeerId

INTERFACES = 31  # told apart; the ones beyond count as the last
PASSING = 1024  # sessions that are no member's, first in, first out; the attack is made-up sessions
IPV4 = int("01" * (INTERFACES + 1), 2)
ALL = -1
NOBODY = PeerId(b"", 0)


class Station:
    """A session: whose it is, and the links it was heard on since its last announcement and before that.

    `reach` is a set of links as bits. An announcement says which IP versions its member hears; it is
    believed for every interface, so that one lost copy separates nobody.
    """

    __slots__ = ("before", "hears", "member", "now", "peer_id", "reach")

    def __init__(self, bit: int) -> None:
        self.now, self.before = bit, 0
        self.reach = bit
        self.peer_id = NOBODY
        self.hears = 0
        self.member = False

    def weigh(self) -> int:
        """The links that it can be reached on."""
        heard = self.now | self.before
        if not self.hears:
            return heard
        interfaces = (heard | heard >> 1) & IPV4
        return (interfaces if self.hears & HEARS_IPV4 else 0) | (
            interfaces << 1 if self.hears & HEARS_IPV6 else 0
        )


class Reach:
    """Which members share a link. One who is not known to be anywhere is taken to share one with all.

    The attack: members that only pretend not to hear each other. What that costs is bounded where it is
    acted upon: see relaying.
    """

    def __init__(self, me: PeerId) -> None:
        self._me = me
        self._interfaces: dict[int, int] = {}
        self._passing: dict[bytes, Station] = {}
        self._members: dict[bytes, Station] = {}
        self._sessions: dict[PeerId, bytes] = {}
        self._at: dict[int, list[PeerId]] = {}  # members by reach, sorted
        self._common = ALL
        self._last = (b"", -1)
        self._bit = self._ours = 0  # of this datagram, and of all so far
        self.here = Station(0)  # of the datagram that is being taken apart

    @property
    def whole(self) -> bool:
        """Whether one link is common to all peers and who speaks; the usual case, and quickly told."""
        return bool(self._common & self.here.reach)

    @property
    def everywhere(self) -> bool:
        """Whether every peer that we reach hears who speaks; so it is taken to be of one who is no peer."""
        return self.whole or not self.here.member or not self._beyond(self.here)

    def _beyond(self, station: Station) -> list[int]:
        """The reaches of the peers that we reach and `station` does not."""
        return [reach for reach in self._at if reach & self._ours and not reach & station.reach]

    def heard(self, session: bytes, link: int) -> None:
        """A datagram of `session` came by `link`; further copies of it count too."""
        if self._last == (session, link):
            return
        self._last = (session, link)
        bit = self._bit = 1 << 2 * self._interface(link >> 1) + (link & 1)
        self._ours |= bit
        station = self._members.get(session) or self._passing.get(session)
        if station is None:
            station = Station(bit)
            self._pass(session, station)
        elif not station.now & bit:
            station.now |= bit
            self._weigh(station)
        self.here = station

    def _pass(self, session: bytes, station: Station) -> None:
        self._passing[session] = station
        if len(self._passing) > PASSING:
            del self._passing[next(iter(self._passing))]

    def _interface(self, index: int) -> int:
        place = self._interfaces.get(index)
        if place is None:
            place = self._interfaces[index] = min(len(self._interfaces), INTERFACES - 1)
        return place

    def _weigh(self, station: Station) -> None:
        if station.member:
            self._take_out(station)
        station.reach = station.weigh()
        if station.member:
            self._put_in(station)

    def _put_in(self, station: Station) -> None:
        if station.reach not in self._at:
            self._at[station.reach] = []
            self._common = reduce(and_, self._at, ALL)
        insort(self._at[station.reach], station.peer_id)

    def _take_out(self, station: Station) -> None:
        runs = self._at[station.reach]
        del runs[bisect_left(runs, station.peer_id)]
        if not runs:
            del self._at[station.reach]
            self._common = reduce(and_, self._at, ALL)

    def speaks(self, run: PeerId) -> bool:
        """Whether `run`, the author of what this datagram brings, sent it itself, as far as we know."""
        if self.here.peer_id == NOBODY:
            self.here.peer_id = run
        return self.here.peer_id == run

    def announced(self, run: PeerId, session: bytes, hears: int) -> bool:
        """A peer announced itself in this datagram, of `session`: its links count anew; True when it is new.

        A session has one owner, the last that announced itself in it.
        """
        station = self.here
        new = not station.member or station.peer_id != run
        if new:
            self.left(run)
            if station.member:
                self.left(station.peer_id)
            self._passing.pop(session, None)
            self._members[session], self._sessions[run] = station, session
            station.peer_id, station.member = run, True
            self._put_in(station)
        station.hears = hears
        station.before, station.now = station.now, self._bit
        self._weigh(station)
        return new

    def left(self, run: PeerId) -> None:
        """`run` is no peer any more."""
        session = self._sessions.pop(run, None)
        if session is not None:
            station = self._members.pop(session)
            self._take_out(station)
            station.member = False
            self._pass(session, station)

    def of(self, run: PeerId) -> Station | None:
        """Where `run` is: a peer, or who speaks at this moment."""
        session = self._sessions.get(run)
        if session is not None:
            return self._members[session]
        return self.here if self.here.peer_id == run else None

    def strangers(self, one: PeerId, other: PeerId) -> bool:
        """Whether two that we hear share no link."""
        first, second = self.of(one), self.of(other)
        return first is not None and second is not None and not first.reach & second.reach

    def apart(self, station: Station) -> Iterator[Station]:
        """Where the peers are that share no link with `station`."""
        away = (runs for reach, runs in self._at.items() if not reach & station.reach)
        return (self._members[self._sessions[run]] for runs in away for run in runs)

    def rank(self, station: Station) -> int | None:
        """How many peers come before us in passing on what `station` says; None: all hear it but whom we
        do not reach either.

        Whoever reaches it, and everybody that it does not reach, can. The one whose run comes next after
        the author's in a circle is the first, so the load is spread and all decide alike. Where we are we
        know from our own sockets, so that a liar cannot make everybody pass on at once.
        """
        beyond = self._beyond(station)
        if not beyond or not station.reach:
            return None
        able = [
            runs
            for reach, runs in self._at.items()
            if reach & station.reach and all(reach & other for other in beyond)
        ]
        return sum(_between(runs, station.peer_id, self._me) for runs in able)


def _between(runs: list[PeerId], start: PeerId, end: PeerId) -> int:
    """How many of `runs`, which are sorted, lie between two others on a circle."""
    first, last = bisect_right(runs, start), bisect_left(runs, end)
    return last - first if start < end else len(runs) - first + last
