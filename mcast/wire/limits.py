"""Every size and bound of the wire, each with its unit. The specification is docs/protocol.md."""

from __future__ import annotations

# Datagrams. The payload of a 1500-byte Ethernet frame less 48 bytes of IPv6 and UDP header.
DATAGRAM_MAX = 1452
DATAGRAM_SAFE = 1200  # tunnels, links below MTU 1500, or when a peer says so
HEADER_SIZE = 24
TAG_SIZE = 16  # of ChaCha20-Poly1305, RFC 8439
FRAME_HEADER_SIZE = 4

# Names and keys.
ORIGIN_SIZE = 16
ROOM_ID_SIZE = 16
SESSION_SIZE = 8
KEY_SIZE = 32
SIGNATURE_SIZE = 64
NODE_SIZE = 16  # of a flush tree
TOKEN_SIZE = 8
DIGEST_SIZE = 16
MACHINE_SIZE = 8

# Numbers. 63 bits, so that they fit a signed column of a database and no sum of two of them overflows 64.
NUMBER_MAX = 2**63 - 1  # incarnation, sequence, counter
COUNTER_MAX = 2**64 - 1  # of the datagram header
TIMESTAMP_MAX = 253_402_300_799_999  # unix ms of 9999-12-31T23:59:59.999Z, the last a calendar shows

# Records.
RECORD_HEADER_SIZE = 44
PROOF_HEAD_SIZE = 2 + SIGNATURE_SIZE
TREE_MAX = 32  # records a flush
PATH_MAX = 5  # nodes: log2(TREE_MAX)
MESSAGE_MAX = 65_536  # bytes of one message, in fragments if need be
FRAGMENT_HEAD_SIZE = 4  # total length, in a first fragment
BUNDLE_HEAD_SIZE = 2  # number of messages
BUNDLE_ENTRY_SIZE = 2  # length of each

# Frames.
NAME_MAX = 64  # bytes of UTF-8
ATTRIBUTES_MAX = 768  # bytes of msgpack; an announcement handed over fits DATAGRAM_SAFE with its address
WINDOW = 8_192  # records from the first to the last missing one a NACK may name
ENTRIES_MAX = 255  # of a list in a frame
AGE_MAX = 2**32 - 1  # ms; in a VECTOR_REQUEST: of any age
AGE_SIZE = FRAME_HEADER_SIZE + 4  # of the AGE frame before a record that is sent again
RECORD_ENVELOPE = HEADER_SIZE + TAG_SIZE + FRAME_HEADER_SIZE  # around the payload of a RECORD frame
RECORD_MAX = DATAGRAM_MAX - RECORD_ENVELOPE
RECORD_NAME_SIZE = 8  # of a record in a SLICE: the first bytes of its payload's hash
SLICE_SIZE = 480  # bytes of a record in a SLICE
DATAGRAM_SLICE = 548  # of a datagram with an AGE and a SLICE: an IPv4 packet of 576 bytes passes everywhere

# Directed messages: the content's head, and the frame around a fragment.
CONTENT_HEAD_SIZE = SIGNATURE_SIZE + 1 + 8
FRAGMENT_OVERHEAD = HEADER_SIZE + TAG_SIZE + FRAME_HEADER_SIZE + 2 * (ORIGIN_SIZE + 8) + 8 + 8 + 32 + 4 + 16

# What a record costs besides its body, in a datagram of its own.
RECORD_OVERHEAD = (
    HEADER_SIZE + TAG_SIZE + FRAME_HEADER_SIZE + PROOF_HEAD_SIZE + PATH_MAX * NODE_SIZE + RECORD_HEADER_SIZE
)


def max_body(datagram_limit: int = DATAGRAM_MAX) -> int:
    """The longest record body, in bytes, that fits a datagram of `datagram_limit` bytes in any flush.

    The path is counted at its longest, so that a body never depends on how many records leave with it. Room
    is left for the AGE frame with which the record is sent again.
    """
    return datagram_limit - RECORD_OVERHEAD - AGE_SIZE


def fragment_sizes(message: int, body_limit: int) -> list[int]:
    """How many bytes of a message of `message` bytes go into each fragment, the first being shorter."""
    first = body_limit - FRAGMENT_HEAD_SIZE
    rest = message - first
    full, last = divmod(rest, body_limit)
    return [first] + [body_limit] * full + ([last] if last else [])
