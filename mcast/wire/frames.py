"""The typed value of every frame. docs/protocol.md describes them; codec.py writes and reads them.

A signed frame, and many others, begin with the peer that it is about: `origin` (16 bytes) and `incarnation`.
The last field of a signed frame is its `signature` (64 bytes), empty until crypto.signed.sign_frame() fills
it in. `counter` rises by at least one with each signed frame of a peer; a receiver takes a frame only when
its counter is above the last one of the same type and peer.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from .ranges import Ranges
from .records import Record


class FrameType(IntEnum):
    """0 is padding: the rest of the datagram is zero."""

    RECORD = 0x01
    KEY = 0x02
    ANNOUNCEMENT = 0x03
    GOODBYE = 0x04
    HEARTBEAT = 0x05
    NACK = 0x06
    REPORT = 0x07
    REPORT_REQUEST = 0x08
    PROBE = 0x09
    PROBE_REPLY = 0x0A
    KEY_REQUEST = 0x0B
    ROSTER_REQUEST = 0x0C
    ROSTER = 0x0D
    CHALLENGE = 0x0E
    ECHO = 0x0F
    DIGEST = 0x10
    VECTOR_REQUEST = 0x11
    VECTOR = 0x12
    RANGE_REQUEST = 0x13
    AGE = 0x14
    WHO = 0x15
    HERE = 0x16
    ACKER = 0x17
    DIRECTED = 0x18
    DIRECTED_ACK = 0x19
    SLICE = 0x1A
    PING = 0x1B
    PONG = 0x1C
    ROOM_QUERY = 0x1D
    ROOM = 0x1E
    TOPIC = 0x1F


# Flags of the frame header.
OPTIONAL = 0x01  # a receiver that does not know the type skips the frame; never set on a type listed here
BY_MULTICAST = 0x02  # on requests: answer to the group, as unicast answers do not arrive
SLICED = 0x04  # on requests: answer in slices, as large datagrams do not arrive

# Flags of an announcement.
NEWCOMER = 0x0001  # joined just now and wants the roster
HOLDER = 0x0002  # holds the group's port on its host and answers for the others there
HEARS_IPV4 = 0x0004  # it hears the group in this IP version
HEARS_IPV6 = 0x0008
HEARS = HEARS_IPV4 | HEARS_IPV6
ANSWERS = 0x0010  # it answers questions
LISTENER = 0x0020  # a program that only listens: no person who comes and goes


class Key(msgspec.Struct, frozen=True, gc=False):
    """An identity's public key (32 bytes) and name, self-signed. The newest `issued` (unix ms) counts."""

    public_key: bytes
    issued: int
    name: str
    signature: bytes = b""


class Announcement(msgspec.Struct, frozen=True, gc=False):
    """ "I am here". `attributes` is msgpack as attributes.py encodes it, verbatim.

    `timestamp`: unix ms. `low`..`high`: the peer's own records that it still holds. `interval`: mean ms
    between two announcements. `grtt`: µs, the group round-trip time that the peer measures. `limit`: bytes of
    the largest datagram it takes. `port`: its unicast port, 0 for the group's. `machine`: 8 bytes that name
    the computer in this room.
    """

    origin: bytes
    incarnation: int
    counter: int
    timestamp: int
    low: int
    high: int
    interval: int
    grtt: int
    limit: int
    port: int
    flags: int
    machine: bytes
    attributes: bytes = b""
    signature: bytes = b""


class Goodbye(msgspec.Struct, frozen=True, gc=False):
    """The peer leaves; `high` is its last sequence, 0 if it published nothing."""

    origin: bytes
    incarnation: int
    counter: int
    high: int
    signature: bytes = b""


class Heartbeat(msgspec.Struct, frozen=True, gc=False):
    """`low`..`high`: the peer's own records that it still holds, low = high + 1 when none. `grtt` in µs."""

    origin: bytes
    incarnation: int
    counter: int
    timestamp: int
    low: int
    high: int
    grtt: int
    signature: bytes = b""


class Missing(msgspec.Struct, frozen=True, gc=False):
    """Records of one peer that are missing or asked for: at least one range, all within WINDOW records."""

    origin: bytes
    incarnation: int
    ranges: Ranges


class Nack(msgspec.Struct, frozen=True, gc=False):
    """The peer (`origin`, `incarnation`) lacks these records. `missing`: 1 to 255 entries, one a peer."""

    origin: bytes
    incarnation: int
    counter: int
    missing: tuple[Missing, ...]
    signature: bytes = b""
    flags: int = 0


class Heard(msgspec.Struct, frozen=True, gc=False):
    """What the author of a receiver report has of one peer's records.

    It waits for nothing up to `contiguous`, and received all of `first` to `contiguous`; what is before
    `first` it gave up or was not there for. `highest` is the highest sequence held. `echo`: timestamp of the
    latest record or heartbeat of that peer; `delay`: µs since it came. `backlog`: bytes that the application
    has not taken. `loss`: share of records that were lost before repair, of 65535.
    """

    origin: bytes
    incarnation: int
    contiguous: int
    highest: int
    echo: int
    delay: int
    backlog: int
    loss: int
    first: int = 1


class Report(msgspec.Struct, frozen=True, gc=False):
    """Receiver report of the peer (`origin`, `incarnation`) about 1 to 255 peers."""

    origin: bytes
    incarnation: int
    counter: int
    heard: tuple[Heard, ...]
    signature: bytes = b""


class ReportRequest(msgspec.Struct, frozen=True, gc=False):
    """Asks for receiver reports on record `sequence` of a peer. Answers are spread over `spread` ms."""

    origin: bytes
    incarnation: int
    sequence: int
    spread: int
    flags: int = 0


class Probe(msgspec.Struct, frozen=True, gc=False):
    """Freshness challenge: is that peer alive now? `nonce` (16 bytes) comes back signed."""

    origin: bytes
    incarnation: int
    nonce: bytes
    flags: int = 0


class ProbeReply(msgspec.Struct, frozen=True, gc=False):
    """Answers a PROBE: the peer (`origin`, `incarnation`) is alive and holds `low`..`high` of its records."""

    origin: bytes
    incarnation: int
    nonce: bytes
    timestamp: int
    low: int
    high: int
    signature: bytes = b""


class KeyRequest(msgspec.Struct, frozen=True, gc=False):
    """Asks for the KEY frames of 1 to 255 origins."""

    origins: tuple[bytes, ...]
    flags: int = 0


class RosterRequest(msgspec.Struct, frozen=True, gc=False):
    """Asks for the roster from entry `start` on, in the order of the peer that answers."""

    start: int
    flags: int = 0


class Roster(msgspec.Struct, frozen=True, gc=False):
    """An announcement of another peer, verbatim.

    `address` (16 bytes, IPv4 mapped as ::ffff:a.b.c.d, zero when unknown) and `port` tell where the sender
    heard that peer. They are not signed: a hint.
    """

    address: bytes
    port: int
    announcement: Announcement


class Challenge(msgspec.Struct, frozen=True, gc=False):
    """Address validation: ask again with this token (8 bytes) to get more than three times what you sent."""

    token: bytes


class Echo(msgspec.Struct, frozen=True, gc=False):
    """The token of a CHALLENGE; stands before the request that it validates."""

    token: bytes


class Digest(msgspec.Struct, frozen=True, gc=False):
    """Sums up the records a peer holds: `digest` (16 bytes) over its sorted holdings, their number in
    `vectors`, and the number of records.
    """

    digest: bytes
    vectors: int
    records: int


class VectorRequest(msgspec.Struct, frozen=True, gc=False):
    """Asks for page `page` of the summary vector of what was published at most `age` ms ago (AGE_MAX: all).

    `digest`: of what the asker holds of that. `request`: random; it comes back, and no recording knows it.
    """

    digest: bytes
    page: int
    age: int
    request: int
    flags: int = 0


class Holding(msgspec.Struct, frozen=True, gc=False):
    """The records held of one peer: `low`..`high` except `holes`."""

    origin: bytes
    incarnation: int
    low: int
    high: int
    holes: Ranges


class Vector(msgspec.Struct, frozen=True, gc=False):
    """Page `page` of `pages` of the summary vector behind `digest`, sorted by (origin, incarnation, low).

    It lists nothing if the asker holds the same. `request`: that of the VECTOR_REQUEST.
    """

    digest: bytes
    page: int
    pages: int
    request: int
    holdings: tuple[Holding, ...]


class RangeRequest(msgspec.Struct, frozen=True, gc=False):
    """Asks for records by range. `request` is chosen by the asker, the same while it asks one peer."""

    request: int
    missing: tuple[Missing, ...]
    flags: int = 0


class Age(msgspec.Struct, frozen=True, gc=False):
    """The RECORD that follows was published `age` ms ago, as far as its giver knows. Not signed: a hint."""

    age: int


class Slice(msgspec.Struct, frozen=True, gc=False):
    """Slice `part` (from 0 on) of a RECORD's payload of `size` bytes: `data` is SLICE_SIZE bytes, the last
    less. `record` names the payload: 8 bytes of its SHA-256. For who gets no larger datagrams.
    """

    record: bytes
    size: int
    part: int
    data: bytes


class Acker(msgspec.Struct, frozen=True, gc=False):
    """The peer asks (`to_origin`, `to_incarnation`), its acker, to report often on its records."""

    origin: bytes
    incarnation: int
    counter: int
    to_origin: bytes
    to_incarnation: int
    signature: bytes = b""


class Who(msgspec.Struct, frozen=True, gc=False):
    """Asks the peer that holds a host's group port which peers are there; `nonce` (8 bytes) comes back."""

    nonce: bytes
    flags: int = 0


class Present(msgspec.Struct, frozen=True, gc=False):
    """A peer on this host and its unicast port."""

    origin: bytes
    incarnation: int
    port: int


class Here(msgspec.Struct, frozen=True, gc=False):
    """The peers on this host, as far as the sender knows. Not signed: a hint."""

    nonce: bytes
    present: tuple[Present, ...]


class Directed(msgspec.Struct, frozen=True, gc=False):
    """Fragment `index` of `count` of a message from one peer to another, which only these two can read.

    `number` rises with each message of the sender; `timestamp`: unix ms. `ephemeral`: the X25519 point (32
    bytes) of this message. See crypto/directed.py.
    """

    origin: bytes
    incarnation: int
    to_origin: bytes
    to_incarnation: int
    number: int
    timestamp: int
    ephemeral: bytes
    index: int
    count: int
    sealed: bytes
    flags: int = 0


class DirectedAck(msgspec.Struct, frozen=True, gc=False):
    """The peer (`origin`, `incarnation`) has these fragments of message `number` of the other one.

    `got` has a bit for each, the lowest bit of the first byte for fragment 0. `allowed`: fragments that may
    be under way. `mac`: 16 bytes that only the two can make.
    """

    origin: bytes
    incarnation: int
    to_origin: bytes
    to_incarnation: int
    number: int
    allowed: int
    mac: bytes
    got: bytes


class Ping(msgspec.Struct, frozen=True, gc=False):
    """Asks the peer (`origin`, `incarnation`) for a PONG of the same size, by `path` (see Path).

    An origin of zeros is whoever gets it by unicast. `nonce` (8 bytes) names a series of questions,
    `sequence` the question in it.
    """

    origin: bytes
    incarnation: int
    nonce: bytes
    sequence: int
    path: int
    flags: int = 0


class Pong(msgspec.Struct, frozen=True, gc=False):
    """The peer (`origin`, `incarnation`) answers a PING. Not signed: a hint.

    `health`: HEALTH flags. `timestamp`: unix ms. `seen` has a bit for each of the sequences 0 to 63 of that
    nonce that arrived, by whatever way, the lowest bit for 0; also of PONGs through the group (NOTES_PONGS).
    `held`: microseconds from the arrival of the PING to this answer. `came`: the TTL with which the PING
    arrived, 0 if that is not known; `ttl`: that with which the PONG is sent.
    """

    origin: bytes
    incarnation: int
    nonce: bytes
    sequence: int
    path: int
    health: int
    timestamp: int
    seen: int
    held: int = 0
    came: int = 0
    ttl: int = 0


class RoomQuery(msgspec.Struct, frozen=True, gc=False):
    """Asks which open rooms there are in the group. This and the next two are sealed for its directory."""


class RoomEntry(msgspec.Struct, frozen=True, gc=False):
    """An open room, and how many people are in it. Not signed: a hint."""

    members: int
    name: str


class Topic(msgspec.Struct, frozen=True, gc=False):
    """What people talk about in the room that the frame before it names. Not signed: a hint."""

    name: str


class Path(IntEnum):
    """The ways that a PONG may take: to the asker, or to a group on its network."""

    UNICAST = 0
    GROUP = 1
    SCOPED = 2  # a group that is joined for the trial and that switches filter
    LOCAL = 3  # a group that no switch filters (RFC 4541, 2.1.2)
    BROADCAST = 4


# Flags of `health` in a PONG: what else the peer knows of its own computer.
SEND_REFUSED = 0x01  # the system refuses what it sends to the group
OVERFLOWED = 0x02  # the kernel dropped datagrams that it did not read in time
NOTES_PONGS = 0x04  # `seen` has a bit for each PONG of that nonce, too, that came through the group


Signed = Key | Announcement | Goodbye | Heartbeat | Nack | Report | ProbeReply | Acker
Request = (
    ReportRequest | Probe | KeyRequest | RosterRequest | VectorRequest | RangeRequest | Who | Directed | Ping
)
Frame = (
    Record
    | Signed
    | Request
    | Roster
    | Challenge
    | Echo
    | Digest
    | Vector
    | Age
    | Here
    | DirectedAck
    | Slice
    | Pong
    | RoomQuery
    | RoomEntry
    | Topic
)
