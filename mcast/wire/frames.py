"""The typed value of every frame. Numbers are those of docs/protocol.md; codec.py writes and reads them.

The last field of a signed frame is its `signature` (64 bytes), empty until crypto.signed.sign_frame() fills
it in. `counter` rises by at least one with each signed frame of a run; a receiver takes a frame only when its
counter is above the last one of the same type and run.
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


# Flags of the frame header.
OPTIONAL = 0x01  # who does not know the type skips the frame; never set on a type listed here
BY_MULTICAST = 0x02  # on requests: answer to the group, unicast answers do not arrive

# Flags of an announcement.
NEWCOMER = 0x0001  # joined just now and wants the roster
HOLDER = 0x0002  # holds the group's port on its host and answers for the others there
HEARS_IPV4 = 0x0004  # it hears the group in this IP version
HEARS_IPV6 = 0x0008


class Key(msgspec.Struct, frozen=True, gc=False):
    """An identity's public key (32 bytes) and name, self-signed. The newest `issued` (unix ms) counts."""

    public_key: bytes
    issued: int
    name: str
    signature: bytes = b""


class Announcement(msgspec.Struct, frozen=True, gc=False):
    """ "I am here". `attributes` is msgpack as attributes.py has it, verbatim.

    `timestamp` unix ms; `interval` ms until the next one at the latest; `grtt` µs, the group round-trip time
    as this peer measures it; `limit` bytes of the largest datagram it takes; `port` its unicast port, 0 for
    the group's; `machine` 8 bytes that name the computer in this room; `low`..`high` own records still held.
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
    """The run ends; `high` is its last sequence, 0 if it published nothing."""

    origin: bytes
    incarnation: int
    counter: int
    high: int
    signature: bytes = b""


class Heartbeat(msgspec.Struct, frozen=True, gc=False):
    """`low`..`high` are the own records the run still holds; low = high + 1 when none. `grtt` in µs."""

    origin: bytes
    incarnation: int
    counter: int
    timestamp: int
    low: int
    high: int
    grtt: int
    signature: bytes = b""


class Missing(msgspec.Struct, frozen=True, gc=False):
    """What is missing, or asked for, of one run: at least one range, all within WINDOW records."""

    origin: bytes
    incarnation: int
    ranges: Ranges


class Nack(msgspec.Struct, frozen=True, gc=False):
    """`origin`, `incarnation`: who misses; `missing`: 1 to 255 runs, each once."""

    origin: bytes
    incarnation: int
    counter: int
    missing: tuple[Missing, ...]
    signature: bytes = b""


class Heard(msgspec.Struct, frozen=True, gc=False):
    """What a reporter holds of one run. `loss` before repair is a fraction of 65535, `echo` the timestamp of
    the latest record or heartbeat of it, `delay` µs since then, `backlog` bytes not yet taken by the user.
    """

    origin: bytes
    incarnation: int
    contiguous: int
    highest: int
    echo: int
    delay: int
    backlog: int
    loss: int


class Report(msgspec.Struct, frozen=True, gc=False):
    """Positive feedback of the run (`origin`, `incarnation`) about 1 to 255 runs."""

    origin: bytes
    incarnation: int
    counter: int
    heard: tuple[Heard, ...]
    signature: bytes = b""


class ReportRequest(msgspec.Struct, frozen=True, gc=False):
    """Who has the run's `sequence`? Answers are spread over `spread` ms."""

    origin: bytes
    incarnation: int
    sequence: int
    spread: int
    flags: int = 0


class Probe(msgspec.Struct, frozen=True, gc=False):
    """Is that run alive? `nonce` (16 bytes) comes back signed."""

    origin: bytes
    incarnation: int
    nonce: bytes
    flags: int = 0


class ProbeReply(msgspec.Struct, frozen=True, gc=False):
    """The run (`origin`, `incarnation`) is alive and has published `low`..`high`."""

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
    """Asks for the roster from entry `start` of the answerer's order on."""

    start: int
    flags: int = 0


class Roster(msgspec.Struct, frozen=True, gc=False):
    """One announcement handed over verbatim. `address` (16 bytes, IPv4 mapped as ::ffff:a.b.c.d; zero when
    unknown) and `port` say where the giver heard it; they are a hint, nobody signed them.
    """

    address: bytes
    port: int
    announcement: Announcement


class Challenge(msgspec.Struct, frozen=True, gc=False):
    """Ask again with this token (8 bytes) to get an answer more than three times as long as the question."""

    token: bytes


class Echo(msgspec.Struct, frozen=True, gc=False):
    """The token of a challenge; stands before the request it goes with."""

    token: bytes


class Digest(msgspec.Struct, frozen=True, gc=False):
    """What a peer holds: `digest` (16 bytes) over its sorted vectors, their number, and that of records."""

    digest: bytes
    vectors: int
    records: int


class VectorRequest(msgspec.Struct, frozen=True, gc=False):
    """Asks for page `page` of the vectors behind `digest`."""

    digest: bytes
    page: int
    flags: int = 0


class Holding(msgspec.Struct, frozen=True, gc=False):
    """What is held of one run: `low`..`high` but for `holes`, which may be empty and start after `low`."""

    origin: bytes
    incarnation: int
    low: int
    high: int
    holes: Ranges


class Vector(msgspec.Struct, frozen=True, gc=False):
    """Page `page` of `pages` of the vectors behind `digest`, sorted by (origin, incarnation)."""

    digest: bytes
    page: int
    pages: int
    holdings: tuple[Holding, ...]


class RangeRequest(msgspec.Struct, frozen=True, gc=False):
    """Asks for records; `request` is chosen by the asker, the same as long as it asks one teller."""

    request: int
    missing: tuple[Missing, ...]
    flags: int = 0


class Age(msgspec.Struct, frozen=True, gc=False):
    """The RECORD that follows was published `age` ms ago, as far as its giver knows. Not signed: a hint."""

    age: int


class Acker(msgspec.Struct, frozen=True, gc=False):
    """The run elects (`to_origin`, `to_incarnation`) to report often on its records."""

    origin: bytes
    incarnation: int
    counter: int
    to_origin: bytes
    to_incarnation: int
    signature: bytes = b""


class Who(msgspec.Struct, frozen=True, gc=False):
    """Asks the holder of a host's group port who else is there; `nonce` (8 bytes) comes back."""

    nonce: bytes
    flags: int = 0


class Present(msgspec.Struct, frozen=True, gc=False):
    """A run on this host and its unicast port."""

    origin: bytes
    incarnation: int
    port: int


class Here(msgspec.Struct, frozen=True, gc=False):
    """The runs on this host, as far as the holder knows: a hint, nobody signed it."""

    nonce: bytes
    present: tuple[Present, ...]


Signed = Key | Announcement | Goodbye | Heartbeat | Nack | Report | ProbeReply | Acker
Request = ReportRequest | Probe | KeyRequest | RosterRequest | VectorRequest | RangeRequest | Who
Frame = Record | Signed | Request | Roster | Challenge | Echo | Digest | Vector | Age | Here
