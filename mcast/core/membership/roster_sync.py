"""The roster for newcomers (push/pull): from the three peers nearest to them by hash, and on request."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from heapq import nsmallest
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import islice
from math import inf
from typing import NamedTuple

import msgspec

from mcast.core.auth.verifier import Verifier
from mcast.core.context import Context, Datagram, Handlers
from mcast.core.events import Address, PeerId
from mcast.core.timers import Rng, Timers
from mcast.core.token_bucket import TokenBucket
from mcast.wire.codec import encode_frames
from mcast.wire.frames import BY_MULTICAST, Announcement, Challenge, Echo, Frame, RosterRequest
from mcast.wire.frames import Roster as RosterEntry
from mcast.wire.limits import FRAME_HEADER_SIZE, HEADER_SIZE, TAG_SIZE, TOKEN_SIZE
from mcast.wire.reasons import DropReason

from .failure_detector import SILENCE, FailureDetector
from .presence import NEWCOMER_SIZE, Presence
from .roster import Peer, Roster

GIVERS = 3
EACH = 4  # peers that each of them names at once, if they fit
PAGE = 128  # roster entries an answer
NEWCOMERS = 6  # a second that are greeted, by whomever: all hear the same ones, so 18 greetings in all
STORM = 20  # newcomers at once that a settled member still greets; the others learn from announcements
SETTLED = 1.0  # seconds after joining from which on a newcomer is greeted at once
PAUSE = 0.1  # seconds in which a member that is new itself sees whether this is a storm
GREETINGS = 64  # newcomers to be greeted after the pause, the newest are refused
PAGES = 20  # of the roster given a second; the attack is made-up newcomers
CHALLENGES = 3 * PAGES  # requests without a token considered a second: visitors ask three times
TO_ALL = 2  # requests a second, by whomever, that are answered to the group; the attack is a flood of them
TOKENS = 1024  # tokens outstanding, oldest first out
WAIT = 0.1  # seconds without an entry after which the next page is asked for
PAGE_TIME = 1.0  # seconds that a page may take
COLLECTED = 30.0  # seconds that all pages may take: 20,000 peers are 157 of them
TRIES = 3
RETRY = 0.1  # seconds without an answer after which a request asks for one by multicast
ASKED = 1.0  # seconds after our own request in which a challenge answers it
LAST_START = 65535  # what the field holds
AMPLIFICATION = 3  # bytes sent for a byte received, at most, to who has not echoed a token
CHALLENGE_SIZE = (
    HEADER_SIZE + TAG_SIZE + FRAME_HEADER_SIZE + TOKEN_SIZE
)  # bytes of a datagram with a CHALLENGE
REQUEST_SIZE = CHALLENGE_SIZE - HEADER_SIZE - TAG_SIZE  # of frames, so that all givers may answer
OWN = 1  # we ourselves are the first entry
KNOWN_ENTRIES = (None, DropReason.DUPLICATE, DropReason.STALE, DropReason.OWN)  # of a roster's page
_NONE = bytes(16)


def pack(address: Address) -> tuple[bytes, int]:
    """IPv4 mapped into IPv6, and the port; zeros for what is no socket address."""
    if not isinstance(address, tuple) or len(address) < 2:
        return _NONE, 0
    try:
        ip = ip_address(str(address[0]).partition("%")[0])
    except ValueError:
        return _NONE, 0
    port = address[1] if isinstance(address[1], int) and 0 <= address[1] <= 65535 else 0
    return (ip.packed if ip.version == 6 else b"\0" * 10 + b"\xff\xff" + ip.packed), port


def unpack(packed: bytes, port: int, giver: Address) -> Address:
    """The address to reach it at, None if unknown. A link-local one is on the link of whoever told us."""
    if packed == _NONE or not port:
        return None
    ip = IPv6Address(packed)
    mapped: IPv4Address | None = ip.ipv4_mapped
    if mapped is not None:
        return (str(mapped), port)
    scope = giver[3] if isinstance(giver, tuple) and len(giver) == 4 and ip.is_link_local else 0
    return (str(ip), port, 0, scope)


def rank(asker: bytes, peer_id: PeerId) -> bytes:
    """Where `peer_id` stands among those who may answer `asker`; lowest first."""
    return sha256(asker + peer_id.origin + peer_id.incarnation.to_bytes(8, "big")).digest()


def is_giver(asker: bytes, me: PeerId, others: Iterable[PeerId]) -> bool:
    """Whether we are among the three who answer."""
    mine = rank(asker, me)
    nearer = (True for peer_id in others if rank(asker, peer_id) < mine)
    return len(list(islice(nearer, GIVERS))) < GIVERS


def first_entries(asker: bytes, me: PeerId, others: Iterable[PeerId]) -> list[PeerId] | None:
    """Whom we name to `asker` before all others, if we are among the three who answer; None: we are not.

    Each of the three names others, so that a small group is known at once.
    """
    near = nsmallest(GIVERS + GIVERS * EACH, [me, *others], key=lambda peer_id: rank(asker, peer_id))
    if me not in near[:GIVERS]:
        return None
    return near[GIVERS + near.index(me) :: GIVERS]


class AddressTokens:
    """Address validation tokens (RFC 9000, section 8.1): a requester gets what is sent to its address.

    The attack: a request under a forged address, whose long answer hits a victim. Without the token the
    answer is at most three times the question.
    """

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._tokens: dict[Address, bytes] = {}

    def issue(self, address: Address) -> bytes:
        """The token (8 bytes) for `address`."""
        token = self._tokens.get(address)
        if token is None:
            token = self._tokens[address] = self._rng.getrandbits(64).to_bytes(8, "big")
            if len(self._tokens) > TOKENS:
                del self._tokens[next(iter(self._tokens))]
        return token

    def valid(self, address: Address, token: bytes | None) -> bool:
        """Whether `token` is the one issued to `address`."""
        return token is not None and self._tokens.get(address) == token


class Greeting(NamedTuple):
    """A newcomer, where it is, by which network it came, and how long its announcement was."""

    peer_id: PeerId
    source: Address
    networks: int
    size: int


class Greetings:
    """Which newcomers to greet when, so that ten thousand who join at once do not greet each other.

    A settled member greets at once. One that is new itself waits a moment; if by then more newcomers were
    heard than may be greeted at once, it greets none: all announce themselves anyhow, and as each knows few
    others yet, hundreds would take themselves for one of the nearest three.
    """

    def __init__(self, rng: Rng, now: float) -> None:
        self._rng = rng
        self._joined = now
        self._bucket = TokenBucket(NEWCOMERS, STORM, now)
        self._heard: deque[float] = deque(maxlen=1024)
        self._waiting: Timers[Greeting] = Timers()

    def heard(self, greeting: Greeting, now: float) -> bool:
        """A newcomer announced itself; whether to greet it at once."""
        self._heard.append(now)
        if now - self._joined >= SETTLED:
            return self._bucket.take(1, now)
        if len(self._waiting) < GREETINGS:
            self._waiting.set(greeting, now + PAUSE * self._rng.random())
        return False

    @property
    def next(self) -> float:
        """When a newcomer is to be greeted."""
        return self._waiting.next

    def due(self, now: float) -> list[Greeting]:
        """The newcomers to greet now."""
        due = self._waiting.due(now)
        return due if sum(now - at <= 1.0 for at in self._heard) <= STORM else []


class Request(msgspec.Struct, frozen=True):
    """A page to ask for."""

    giver: Address
    token: bytes
    start: int


class Collector:
    """The newcomer's side: which giver to ask for which page of its roster, of `limit` entries at most.

    All givers of a network are asked for their first page, as one of them may be new itself; the next one
    comes from the first giver. Each network has givers of its own, who know those on it. The attack: a giver
    that never runs out of entries, or whom nobody asked, or entries that come without end.
    """

    def __init__(self, limit: int) -> None:
        self._last_start = min(limit, LAST_START)
        self._asked = -inf
        self._givers: list[tuple[Address, bytes, int]] = []  # with the network of each
        self._others: list[Request] = []  # to givers but the first, for their first page
        self._start = 0
        self._entries = 0
        self._tries = 0
        self._when = inf  # when to ask the first giver again
        self._page_until = self._until = inf  # when this page, and all of them, have taken too long
        self.finished = 0  # the networks of which there is no more

    @property
    def next(self) -> float:
        """When tick() has a request."""
        return self._asked if self._others else self._when

    def asked(self, now: float) -> None:
        """We asked everybody for the roster: collect it, once more if it has been."""
        self._asked = now
        self.finished = 0

    def challenged(self, giver: Address, token: bytes, networks: int, now: float) -> bool:
        """`giver` has more for us than it may send unasked; False when we did not ask."""
        if self.finished & networks or now - self._asked > ASKED:
            return False
        here = [known for known, _, network in self._givers if network == networks]
        if len(here) < GIVERS and giver not in here:
            self._givers.append((giver, token, networks))
            if len(self._givers) == 1:
                self._when = now
                self._until = now + COLLECTED
            elif here and networks == self._givers[0][2]:
                self._others.append(Request(giver, token, 0))
        return True

    def entry(self, giver: Address, now: float) -> None:
        """An entry came that is genuine, as far as we can tell."""
        if not self._tries or all(giver != known for known, *_ in self._givers):
            return
        if giver == self._givers[0][0]:
            self._entries += 1
        self._when = min(now + WAIT, self._page_until)

    def tick(self, now: float) -> list[Request]:
        """The requests to send now."""
        first = self._next_request(now) if now >= self._when else []
        others, self._others = self._others, []
        return first + others

    def _next_request(self, now: float) -> list[Request]:
        """The first giver has been silent for a while: ask it again, or for its next page, or another."""
        if now >= self._until:
            self._stop()
        elif self._tries and self._entries:
            self._start += PAGE
            if self._entries < PAGE // 2 or self._start > self._last_start:
                self._finish(self._givers[0][2])
            self._tries = 0
        elif self._tries == TRIES:
            _, _, networks = self._givers.pop(0)
            self._tries = 0
            self._givers.sort(key=lambda giver: giver[2] != networks)  # those of the same network first
            if not self._givers or self._givers[0][2] != networks:
                self._finish(networks)
        if not self._givers:
            self._when = inf
            return []
        self._entries = 0
        self._tries += 1
        self._when = now + WAIT
        self._page_until = min(now + PAGE_TIME, self._until)
        giver, token, _ = self._givers[0]
        return [Request(giver, token, self._start)]

    def _stop(self) -> None:
        """It has taken too long."""
        while self._givers:
            self._finish(self._givers[0][2])
        self._tries = 0

    def _finish(self, networks: int) -> None:
        """On to the next network."""
        self.finished |= networks
        self._givers = [giver for giver in self._givers if giver[2] != networks]
        self._others = [
            Request(giver, token, 0)
            for giver, token, network in self._givers[1:]
            if network == self._givers[0][2]
        ]
        self._start = 0


class RosterSync:
    """Hands the roster to newcomers and to those who ask for it, and collects it as a newcomer.

    A CHALLENGE goes to all of `on_challenge`; if none takes it, it is that of a roster's giver.
    `on_giver(source, now)` is called when a giver has more for us.
    """

    def __init__(
        self,
        context: Context,
        verifier: Verifier,
        roster: Roster,
        detector: FailureDetector,
        presence: Presence,
        tokens: AddressTokens,
    ) -> None:
        self._context, self._verifier, self._roster = context, verifier, roster
        self._detector, self._presence, self._tokens = detector, presence, tokens
        self.handlers: Handlers = {
            RosterEntry: self._on_entry,
            RosterRequest: self._on_request,
            Challenge: self._on_challenge,
            Echo: self._on_echo,
        }
        self.on_challenge: list[Callable[[Address, bytes, float], bool]] = []
        self.on_giver: Callable[[Address, float], None]
        self.greetings = Greetings(context.rng, context.started)
        self.collector = Collector(context.settings.peers)
        self._pages = TokenBucket(PAGES, PAGES, context.started)
        self._challenges = TokenBucket(CHALLENGES, CHALLENGES, context.started)
        self._to_all = TokenBucket(TO_ALL, TO_ALL, context.started)
        self._unanswered = inf  # since when our requests are
        self.next_timeout = inf

    def _arm(self) -> None:
        self.next_timeout = min(self.greetings.next, self.collector.next)

    def on_timeout(self, now: float) -> None:
        """Greet newcomers whose time has come; as a newcomer, ask for the next page."""
        for greeting in self.greetings.due(now):
            self._greet(greeting, now)
        for request in self.collector.tick(now):
            self._context.send(Echo(request.token), RosterRequest(request.start), to=request.giver)
        self._arm()

    def ask(self, now: float) -> None:
        """Ask who is here, as a visitor does; three peers answer.

        A firewall may drop what is sent to us alone: if nothing came, ask for answers to the group.
        """
        self.collector.asked(now)
        if now - self._unanswered >= RETRY:
            request = RosterRequest(min(len(self._roster), LAST_START), BY_MULTICAST)
            self._context.send(request, size=NEWCOMER_SIZE)
        else:
            self._context.send(RosterRequest(0), size=REQUEST_SIZE)
        self._unanswered = min(self._unanswered, now)

    def answered(self, datagram: Datagram) -> None:
        """A member announced itself, or another one: if it said so to us alone, our requests are answered."""
        if datagram.direct:
            self._unanswered = inf

    def greet_newcomer(self, datagram: Datagram, newcomer: PeerId, now: float) -> None:
        """A newcomer announced itself, which asks for a greeting."""
        answered, datagram.answered = datagram.answered, True
        source = datagram.source
        if self._context.mode.visitor or source is None:
            return
        if answered and not self._tokens.valid(source, datagram.token):
            return
        greeting = Greeting(newcomer, source, datagram.networks, datagram.size)
        if self.greetings.heard(greeting, now):
            self._greet(greeting, now)
        self._arm()

    def _greet(self, greeting: Greeting, now: float) -> None:
        """If we are among the three nearest to a newcomer: a token, ourselves, some entries, as they fit.

        The attack: newcomers made up under a victim's address. The three share what AMPLIFICATION allows.
        """
        context = self._context
        newcomer, source = greeting.peer_id, greeting.source
        others = (peer.peer_id for peer in self._known(greeting.networks, now) if peer.peer_id != newcomer)
        asker = newcomer.origin + newcomer.incarnation.to_bytes(8, "big")
        named = first_entries(asker, context.me, others)
        if named is None:
            return
        entries = (self._entry(peer) for peer_id in named if (peer := self._roster.get(peer_id)))
        more = [self._presence.introduction(now), *entries]
        self._send_fitting([Challenge(self._tokens.issue(source))], more, greeting.size, source)

    def _known(self, networks: int, now: float) -> Iterator[Peer]:
        """The peers of a network. Those that we only heard of, if they spoke just now: where many join
        together, few have heard all others yet. The attack: identities that announced themselves once, which
        each newcomer would hand on to the next."""
        has, window = self._context.networks.has, self._context.settings.live_window
        return (
            peer
            for peer in self._roster
            if has(peer.peer_id, networks) and (peer.confirmed or self._age(peer.announcement, now) <= window)
        )

    def _age(self, announcement: Announcement, now: float) -> float:
        """How far from now it was said, by the clock of its author, in seconds."""
        return abs(announcement.timestamp - self._context.unix_ms(now)) / 1000

    def _entry(self, peer: Peer) -> list[Frame]:
        known = self._verifier.key(peer.peer_id.origin)
        entry = RosterEntry(*pack(peer.address), peer.announcement)
        return [entry] if known is None else [known.frame, entry]

    def _on_request(self, datagram: Datagram, frame: RosterRequest, now: float) -> DropReason | None:
        """Give a page of the roster to who echoed its token, a token to who has none yet."""
        context, source = self._context, datagram.source
        if context.mode.visitor or source is None:
            return DropReason.NOT_ASKED
        if frame.flags & BY_MULTICAST and not datagram.direct:
            return self._tell_all(datagram, frame.start, now)
        if self._tokens.valid(source, datagram.token):
            if not self._pages.take(1, now):
                return DropReason.OVER_BUDGET
            self._give_page(frame.start, datagram, now)
            return None
        if not self._challenges.take(1, now):
            return DropReason.OVER_BUDGET
        if CHALLENGE_SIZE * (1 if datagram.direct else GIVERS) > AMPLIFICATION * datagram.size:
            return DropReason.NO_TOKEN
        packed, port = pack(source)
        others = (peer.peer_id for peer in self._known(datagram.networks, now))
        if not (datagram.direct or is_giver(packed + port.to_bytes(2, "big"), context.me, others)):
            return DropReason.NOT_ASKED
        context.send(Challenge(self._tokens.issue(source)), to=source)
        return DropReason.NO_TOKEN

    def _tell_all(self, datagram: Datagram, start: int, now: float) -> DropReason | None:
        """Who asks gets nothing by unicast: the three nearest to it tell the group who is here.

        Together they send what AMPLIFICATION allows: themselves and some entries, from `start` on.
        """
        if not self._to_all.take(1, now):
            return DropReason.OVER_BUDGET
        packed, port = pack(datagram.source)
        asker, me = packed + port.to_bytes(2, "big"), self._context.me
        known = (peer.peer_id for peer in self._known(datagram.networks, now))
        most = max(start, GIVERS) + GIVERS * EACH
        near = nsmallest(most, [me, *known], key=lambda peer_id: rank(asker, peer_id))
        if me not in near[:GIVERS]:
            return DropReason.NOT_ASKED
        mine = near[max(start, GIVERS) + near.index(me) :: GIVERS]
        entries = (self._entry(peer) for peer_id in mine if (peer := self._roster.get(peer_id)))
        introduction = self._presence.introduction(now) if start == 0 else []
        self._send_fitting([], [introduction, *entries], datagram.size, None)
        return None

    def _send_fitting(self, frames: list[Frame], more: Iterable[list[Frame]], size: int, to: Address) -> None:
        """Send frames, and as many more as one of three answers to a datagram of `size` bytes may have."""
        share = AMPLIFICATION * size // GIVERS - HEADER_SIZE - TAG_SIZE
        room = min(self._context.room_left(), share)
        for some in more:
            if len(encode_frames([*frames, *some])) > room:
                break
            frames = [*frames, *some]
        if frames:
            self._context.send(*frames, to=to)

    def _give_page(self, start: int, datagram: Datagram, now: float) -> None:
        """A page of the peers on the network of the request, each with its key."""
        context, source = self._context, datagram.source
        frames = self._presence.introduction(now) if start == 0 else []
        first = max(0, start - OWN)
        for peer in islice(self._known(datagram.networks, now), first, first + PAGE - OWN):
            entry = self._entry(peer)
            if frames and len(encode_frames([*frames, *entry])) > context.room_left():
                context.send(*frames, to=source)
                frames = []
            frames += entry
        if frames:
            context.send(*frames, to=source)

    def _on_entry(self, datagram: Datagram, frame: RosterEntry, now: float) -> DropReason | None:
        """Hearsay: a peer that somebody else has heard."""
        self.answered(datagram)
        announcement = frame.announcement
        peer_id = PeerId(announcement.origin, announcement.incarnation)
        peer = self._roster.get(peer_id)
        if peer is not None and (peer.confirmed or announcement.counter <= peer.announcement.counter):
            reason: DropReason | None = DropReason.DUPLICATE
        else:
            reason = self._presence.vet(peer_id, announcement, now)
        if reason in KNOWN_ENTRIES:
            self.collector.entry(datagram.source, now)
            self._arm()
        if reason is not None:
            return reason
        address = unpack(frame.address, frame.port, datagram.source)
        longest = max(self._context.settings.live_window, SILENCE * announcement.interval / 1000)
        if self._age(announcement, now) > longest:
            self._detector.admit_later(announcement, address, None, datagram.networks, now)
            return DropReason.NOT_LIVE
        self._context.networks.heard(peer_id, datagram.networks)
        if peer is None:
            return self._presence.enter(announcement, address, now, confirmed=False)
        self._presence.retold(peer, announcement, address, now)
        return None

    def _on_challenge(self, datagram: Datagram, frame: Challenge, now: float) -> DropReason | None:
        """Somebody wants to see that what it sends reaches us before it sends us more."""
        source = datagram.source
        # Several may have asked: a peer has one token for each address, whatever it was asked for.
        if any([taken(source, frame.token, now) for taken in self.on_challenge]):
            return None
        if not self.collector.challenged(source, frame.token, datagram.networks, now):
            return DropReason.NOT_ASKED
        self._arm()
        self.on_giver(source, now)
        return None

    def _on_echo(self, datagram: Datagram, frame: Echo, now: float) -> DropReason | None:
        """The token that goes with the rest of this datagram."""
        datagram.token = frame.token
        return None
