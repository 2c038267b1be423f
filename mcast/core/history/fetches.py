"""Fetching what others hold and we lack: the asker's side of digests, summary vectors and range requests.

One teller is asked at a time: for a page of its summary vector, then for what that page has and we lack, then
for the next page. The vector is of all that it holds, or of what was published since some time; then another
of more may follow. Each question may meet a challenge, whose token goes with the questions after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from itertools import islice
from math import inf
from typing import NamedTuple

from mcast.core.auth.verifier import Verifier
from mcast.core.context import Context, Datagram
from mcast.core.events import Address, PeerId
from mcast.core.rangeset import RangeSet
from mcast.wire import limits
from mcast.wire.frames import BY_MULTICAST, SLICED, Echo, Frame, Missing, RangeRequest, Vector, VectorRequest
from mcast.wire.lists import HOLDINGS
from mcast.wire.ranges import pairs_of, split_ranges

from .replay import Replay
from .store import Store

WAIT = 0.1  # seconds without an answer or a record after which we ask again, by multicast if need be
WHOLE = 2  # questions without anything new before we ask for slices
TRIES = 6  # questions without anything new before the next teller's turn
LONGEST = 60.0  # seconds with one teller: one that hands out little by little must not hold up the others
CHALLENGES = 8  # heeded from one teller: it may change its token, not keep us busy
TELLERS = 32  # waiting for their turn, each address once, so that a liar is one of them; strangers go first
MET = 1024  # addresses of peers remembered, the one heard least lately out
SETTLED = 256  # digests behind which there is nothing for us; oldest out
REFUSED = 600.0  # seconds before a teller whose records were too old for us is asked for the same again
SULK = 30.0  # seconds before a teller that did not deliver what it told is asked again
REQUEST_HEAD = 4 + 4 + 1  # bytes of a RANGE_REQUEST before its entries
MISSING_HEAD = 16 + 8 + 8 + 2  # bytes of an entry before its ranges
CHUNK = 2048  # records asked for at once


class Question(NamedTuple):
    """Frames that leave in one datagram for `to`."""

    frames: tuple[Frame, ...]
    to: Address


class Session:
    """What is going on with one teller, who said `announced`.

    `steps` are the seconds before we joined from which on it is asked what was published, one after the
    other. `digest` is that of the present vector, `asked` of what we held of it.
    """

    __slots__ = (
        "announced",
        "asked",
        "by_multicast",
        "challenges",
        "content",
        "digest",
        "lacking",
        "networks",
        "next",
        "page",
        "pages",
        "refused",
        "request",
        "same",
        "sliced",
        "steps",
        "teller",
        "token",
        "tries",
        "unchanged",
        "unicast",
        "until",
    )

    def __init__(
        self, teller: Address, digest: bytes, networks: int, request: int, steps: list[float], now: float
    ) -> None:
        self.teller, self.announced, self.request, self.steps = teller, digest, request, steps
        self.token: bytes | None = None
        self.networks = networks  # by which the last page came
        self.by_multicast = self.unicast = False  # which of the two is known to bring answers
        self.sliced = False  # large datagrams of it do not seem to arrive
        self.refused = False  # something was too old, as the teller says: others may say otherwise
        self.lacking: dict[PeerId, RangeSet] = {}
        self.begin_step()
        self.tries = self.challenges = 0
        self.next, self.until = now, now + LONGEST

    def begin_step(self) -> None:
        """On to the next vector."""
        self.digest = self.asked = b""
        self.page, self.pages = 0, 1
        self.unchanged, self.same = True, False
        self.content = sha256()  # of what was listed: a liar must not settle another's digest

    def answered(self, now: float) -> None:
        """Something came: the way it came is the one to go on with."""
        if not self.unicast:
            self.by_multicast |= self.tries > 1
            self.unicast = self.tries == 1 and not self.by_multicast
        self.tries = 0
        self.next = now


class Fetches:
    """Whom to ask for what, and when.

    The attacks: tellers who tell what they do not have, or never answer. Each has one place in the line, is
    given up after TRIES questions, and is not asked for the same again; what it told is believed only as far
    as signed records come. Digests under made-up addresses: who announced nothing makes room first.
    """

    def __init__(self, context: Context, verifier: Verifier, store: Store, replay: Replay) -> None:
        self._context, self._verifier, self._store, self._replay = context, verifier, store, replay
        self._tellers: dict[Address, tuple[bytes, float, int]] = {}  # digest, when to ask, by which networks
        self._settled: dict[tuple[Address | int, bytes], float] = {}  # by teller or network, and digest
        self._session: Session | None = None
        self._met: dict[Address, int] = {}  # by address: which IP versions it hears
        self._began = False
        self.active = False  # whether something is being fetched or about to be

    @property
    def untried(self) -> bool:
        """Whether nobody was asked so far, nor is about to be."""
        return not (self._began or self._tellers)

    def unsettle(self) -> None:
        """We hold nothing any more: what was fetched once may have to be fetched again."""
        self._settled.clear()

    def settled(self, datagram: Datagram, digest: bytes, now: float) -> bool:
        """Whether there is nothing for us behind `digest`, or its teller did not deliver it, for now."""
        there = (datagram.networks, digest) in self._settled
        return there or self._settled.get((datagram.source, digest), 0.0) > now

    def met(self, datagram: Datagram, hears: int) -> None:
        """A peer announced itself; it `hears` these IP versions."""
        self._met.pop(datagram.source, None)
        self._met[datagram.source] = hears
        if len(self._met) > MET:
            del self._met[next(iter(self._met))]

    def hears(self, source: Address) -> int | None:
        """The IP versions that the peer at this address hears; None if none announced itself from there."""
        return self._met.get(source)

    def told(self, teller: Address, digest: bytes, when: float, networks: int = 0) -> None:
        """`teller`, heard by `networks`, holds something else than we do: ask it at `when`."""
        session = self._session
        if teller is None or (session is not None and session.teller == teller):
            return
        known = self._tellers.get(teller)  # keeps its place in the line
        self._tellers[teller] = digest, min(when, known[1]) if known else when, networks
        if len(self._tellers) > TELLERS:
            oldest = next(iter(self._tellers))
            del self._tellers[next((one for one in self._tellers if one not in self._met), oldest)]
        self.active = True

    def wants(self, peer_id: PeerId, sequence: int) -> bool:
        """Whether this record was asked for."""
        return self._session is not None and sequence in self._session.lacking.get(peer_id, ())

    def challenged(self, source: Address, token: bytes, now: float) -> bool:
        """The teller wants its token back; False when we did not ask `source`."""
        session = self._session
        if session is None or session.teller != source or session.challenges >= CHALLENGES:
            return False
        session.challenges += 1
        session.token = token
        session.answered(now)
        return True

    @property
    def recent(self) -> bool:
        """Whether what is asked for now is only what was published since we joined."""
        return self._session is not None and self._session.steps[0] == 0.0

    def lowest(self, peer_id: PeerId) -> int:
        """The first record of a peer that is still to come; 0 if none is."""
        lacking = None if self._session is None else self._session.lacking.get(peer_id)
        return 0 if lacking is None else lacking.low

    def expects(self, source: Address, vector: Vector) -> bool:
        """Whether this is the page that we asked for, and no recording of one."""
        session = self._session
        return (
            session is not None
            and session.teller == source
            and session.request == vector.request
            and session.page == vector.page
            and not session.lacking
        )

    def page(self, vector: Vector, lacking: dict[PeerId, RangeSet], networks: int, now: float) -> None:
        """The page that was expected came by `networks`; of it we lack `lacking`."""
        session = self._session
        if session is None:
            return
        session.networks = networks
        session.unchanged &= vector.digest == session.digest or not session.page
        session.same = not vector.holdings and vector.digest == session.asked
        session.digest, session.pages = vector.digest, vector.pages
        for holding in vector.holdings:
            session.content.update(HOLDINGS.write((holding,))[1:])
        session.lacking = lacking
        session.answered(now)
        self._advance(session, now)

    def got(self, peer_id: PeerId, sequence: int, now: float, *, refused: bool = False) -> None:
        """The record is here, from whomever; or it cannot be used, `refused` as too old."""
        session = self._session
        if session is None:
            return
        ranges = session.lacking.get(peer_id)
        if ranges is None or not ranges.remove(sequence):
            return
        session.refused |= refused
        session.answered(now)
        session.next = now + WAIT
        if not ranges:
            del session.lacking[peer_id]
            self._advance(session, now)

    def _advance(self, session: Session, now: float) -> None:
        """On to the next page when nothing of this one is lacking."""
        if session.lacking:
            return
        session.page += 1
        session.next = now
        if session.page < session.pages:
            return
        told = session.content.digest()[: limits.DIGEST_SIZE]
        if session.unchanged and not session.same and told != session.digest:
            self._finish(session, session.teller, session.announced, now + SULK)
        elif len(session.steps) > 1:
            self._replay.covered(session.steps.pop(0))
            session.begin_step()
        elif not session.unchanged:
            self._finish(session, session.teller, session.announced, 0.0)
        elif session.refused:
            self._finish(session, session.teller, session.digest, now + REFUSED)
        elif session.steps[0] == inf:
            self._finish(session, session.networks, session.digest, inf)
        else:  # others who said the same may have had other records since we joined
            self._finish(session, session.teller, session.announced, inf)

    def _finish(self, session: Session, teller: Address | int, digest: bytes, until: float) -> None:
        self._settled.pop((teller, digest), None)
        self._settled[teller, digest] = until
        if len(self._settled) > SETTLED:
            del self._settled[next(iter(self._settled))]
        self._session = None
        self.active = bool(self._tellers)

    def _begin(self, teller: Address, now: float) -> Session:
        self._began = True
        digest, _, networks = self._tellers.pop(teller)
        request = self._context.rng.getrandbits(32)
        session = self._session = Session(teller, digest, networks, request, self._steps(), now)
        return session

    def _steps(self) -> list[float]:
        """Who only listens, or has no room, fetches only what was published while it was there."""
        mode = self._context.mode
        if self._replay.bounded:
            return [0.0, *self._replay.steps()]
        return [0.0] if self._store.full or (mode.quiet and not mode.history) else [inf]

    @property
    def next(self) -> float:
        """When to call tick(), inf if never."""
        if self._session is not None:
            return min(self._session.next, self._session.until)
        return min((at for _, at, _ in self._tellers.values()), default=inf)

    def tick(self, now: float, room: int) -> Question | None:
        """The question to put now; it fits `room` bytes of frames."""
        session = self._session
        if session is None:
            teller = next((teller for teller, (_, at, _) in self._tellers.items() if at <= now), None)
            if teller is None:
                return None
            session = self._begin(teller, now)
        return self._ask(session, now, room)

    def _ask(self, session: Session, now: float, room: int) -> Question | None:
        if now >= session.until or (now >= session.next and session.tries == TRIES):
            self._replay.missed(session.lacking, self._published)
            self._finish(session, session.teller, session.announced, now + SULK)
            return None
        if now < session.next:
            return None
        session.tries += 1
        session.next = now + WAIT
        to_all = session.by_multicast or (session.tries > 1 and not session.unicast)
        session.sliced |= bool(session.lacking) and session.tries > WHOLE
        flags = BY_MULTICAST * to_all | SLICED * session.sliced
        echo = () if session.token is None else (Echo(session.token),)
        return Question((*echo, self._question(session, flags, room, now)), session.teller)

    def _published(self, peer_id: PeerId) -> int:
        """The highest record of a peer that is known to exist, by its own signature."""
        return max(self._verifier.published(peer_id), self._store.held.of(peer_id).high)

    def _question(self, session: Session, flags: int, room: int, now: float) -> Frame:
        if not session.lacking:
            since = self._context.started - session.steps[0]
            if not session.page:
                session.asked = self._store.summary(session.networks, since=since).digest
            age = min(limits.AGE_MAX, round(min(now - since, limits.AGE_MAX) * 1000))
            return VectorRequest(session.asked, session.page, age, session.request, flags)
        return RangeRequest(session.request, tuple(_missing(session.lacking, room - REQUEST_HEAD)), flags)


def _missing(lacking: dict[PeerId, RangeSet], room: int) -> Iterable[Missing]:
    """What to ask for first: at most CHUNK records in `room` bytes."""
    left = CHUNK
    for peer_id, ranges in islice(lacking.items(), limits.ENTRIES_MAX):
        pairs = (room - MISSING_HEAD) // 2
        inclusive = [(start, stop - 1) for start, stop in _first(ranges, left)]
        if pairs < 1 or not inclusive:
            return
        piece = split_ranges(inclusive, pairs)[0]
        left -= sum(last - first + 1 for first, last in piece)
        room -= MISSING_HEAD + 2 * pairs_of(piece)
        yield Missing(peer_id.origin, peer_id.incarnation, tuple(piece))


def _first(ranges: Iterable[tuple[int, int]], most: int) -> Iterable[tuple[int, int]]:
    """The first `most` numbers of [start, stop) ranges."""
    for start, stop in ranges:
        if most <= 0:
            return
        stop = min(stop, start + most)
        yield start, stop
        most -= stop - start
