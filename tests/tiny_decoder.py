"""A second decoder, made from docs/protocol.md alone: it reads the tables there, and nothing of wire/.

What it decodes and refuses is compared with wire/ on every vector, so that page, codec and vectors agree.
Signatures go through another library than mcast's own do.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

PAGE = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text(encoding="utf-8")
NUMBER_MAX, TIMESTAMP_MAX = 2**63 - 1, 253402300799999
TIMES = {"timestamp", "issued", "echo"}
NUMBERS = {
    "incarnation",
    "to_incarnation",
    "counter",
    "number",
    "sequence",
    "low",
    "high",
    "contiguous",
    "highest",
    "first",
}


class Refused(Exception):
    """Dropped, with the page's reason."""


def vectors(*kinds: str) -> list[dict[str, Any]]:
    """The page's vectors of these kinds, each with its `title`."""
    found = re.findall(r"^\*\*([^\n]+)\*\*\n\n```json\n(.+?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
    every = [json.loads(block) | {"title": title} for title, block in found]
    return [vector for vector in every if vector["kind"] in kinds]


def _rows(pattern: str) -> list[tuple[str, ...]]:
    return re.findall(pattern, PAGE, re.MULTILINE)


# type -> (name, payload, remark), and the entries of lists, as the page words them
FRAMES = {
    int(number, 16): (name, payload, remark)
    for number, name, payload, remark in _rows(r"^\| 0x(\w\w) \| (\w+) \| (.+?) \| (.*?) ?\|$")
}
ENTRIES = {name: layout for name, layout in _rows(r"^\| (missing|heard|holdings|present) \| (peer, .+?) \|$")}


class Cursor:
    """Takes bytes from the front."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, size: int) -> bytes:
        if size > len(self.data):
            raise Refused("truncated")
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def number(self, bits: int) -> int:
        return int.from_bytes(self.take(bits // 8), "big")


def ranges(cursor: Cursor) -> list[list[int]]:
    base, count = cursor.number(64), cursor.number(16)
    pairs = cursor.take(2 * count)
    members: list[int] = []
    at = base
    for skip, take in zip(pairs[::2], pairs[1::2], strict=True):
        members.extend(range(at + skip, at + skip + take))
        at += skip + take
    found: list[list[int]] = []
    for member in members:
        if found and found[-1][1] + 1 == member:
            found[-1][1] = member
        else:
            found.append([member, member])
    if pairs != write_ranges(found) or base != (found[0][0] if found else 0):
        raise Refused("bad-ranges")
    if found and (base == 0 or found[-1][1] - base >= 8192 or found[-1][1] > NUMBER_MAX):
        raise Refused("bad-ranges")
    return found


def write_ranges(found: list[list[int]]) -> bytes:
    pairs, after = b"", found[0][0] if found else 0
    for first, last in found:
        gap, length = first - after, last - first + 1
        while gap >= 255:
            pairs, gap = pairs + b"\xff\x00", gap - 255
        while length > 0:
            pairs += bytes((gap, min(length, 255)))
            gap, length = 0, length - 255
        after = last + 1
    return pairs


def _field(word: str, cursor: Cursor, value: dict[str, Any]) -> None:
    """Reads what one comma-separated part of a row says."""
    word = re.sub(r" \((ms|µs|bytes|at least one|the holes.*)\)", "", word)
    if word == "nothing":
        return
    if word in ("peer", "to peer"):
        prefix = word[:-4].replace(" ", "_")
        _field(f"{prefix}origin [16]", cursor, value)
        _field(f"{prefix}incarnation u64", cursor, value)
    elif word.startswith("list of "):
        _list(word[8:], cursor, value)
    elif word == "payload of an ANNOUNCEMENT verbatim":
        value["announcement"] = payload(0x03, 0, cursor.take(value.pop("length")))
    elif sized := re.fullmatch(r"(.+) \[(\d+)\]", word):
        value[sized[1].replace(" ", "_")] = cursor.take(int(sized[2])).hex()
    elif number := re.fullmatch(r"(.+) u(\d+)", word):
        name = number[1].replace(" ", "_")
        value[name] = cursor.number(int(number[2]))
        if value[name] > (NUMBER_MAX if name in NUMBERS else TIMESTAMP_MAX if name in TIMES else 2**64):
            raise Refused("bad-value")
    else:
        value[word] = cursor.take(value.pop(f"{word}_length")).hex()


def _list(entry: str, cursor: Cursor, value: dict[str, Any]) -> None:
    count = cursor.number(8)
    if not count and entry != "holdings":
        raise Refused("bad-value")
    if entry not in ENTRIES:
        name = entry.split()[0]
        value[f"{name}s"] = []
        for _ in range(count):
            single: dict[str, Any] = {}
            _field(entry, cursor, single)
            value[f"{name}s"].append(single[name])
        return
    value[entry] = [_entry(entry, cursor) for _ in range(count)]


def _entry(entry: str, cursor: Cursor) -> dict[str, Any]:
    value: dict[str, Any] = {}
    layout, _, tail = ENTRIES[entry].partition(", ranges")
    for word in layout.split(", "):
        _field(word, cursor, value)
    if tail:
        found = ranges(cursor)
        value["holes" if entry == "holdings" else "ranges"] = found
        if not found and entry == "missing":
            raise Refused("bad-ranges")
        if found and entry == "holdings" and not value["low"] <= found[0][0] <= found[-1][1] <= value["high"]:
            raise Refused("bad-ranges")
    return consistent(value)


def payload(number: int, flags: int, data: bytes) -> dict[str, Any]:
    """The fields of one frame's payload."""
    _, layout, remark = FRAMES[number]
    if flags & ~(6 if "request" in remark else 0):
        raise Refused("bad-flags")
    cursor, value = Cursor(data), dict[str, Any]()
    for word in layout.split(", "):
        _field(word, cursor, value)
    if "name" in value:
        try:
            value["name"] = bytes.fromhex(value["name"]).decode()
        except UnicodeDecodeError:
            raise Refused("bad-text") from None
    if "signed" in remark:
        value["signature"] = cursor.take(64).hex()
    if "request" in remark:
        value["flags"] = flags
    if cursor.data:
        raise Refused("trailing")
    return consistent(value)


def consistent(value: dict[str, Any]) -> dict[str, Any]:
    """The value, if its fields keep to section 7's rules for bad-value."""
    wrong = [
        "low" in value and not 1 <= value["low"] <= value["high"] + 1,
        "contiguous" in value and value["contiguous"] > value["highest"],
        "contiguous" in value and not 0 < value["first"] <= value["contiguous"] + 1,
        "page" in value and "holdings" in value and value["page"] >= value["pages"],
        "limit" in value and value["limit"] < 1200,
        value.get("number") == 0,
        value.get("path", 0) > 4,
        "index" in value and value["index"] >= value["count"],
        "data" in value and not _is_slice(value),
        len(value.get("attributes", "")) > 2 * 768,
        len(value.get("name", "").encode()) > 64,
    ]
    if any(wrong):
        raise Refused("bad-value")
    return value


def _is_slice(value: dict[str, Any]) -> bool:
    left = value["size"] - 480 * value["part"]
    size = len(bytes.fromhex(value["data"]))
    return bool(value["size"] <= 1408 and 0 < size == min(480, left))


def record(data: bytes) -> dict[str, Any]:
    """The fields of a record without its proof."""
    cursor, value = Cursor(data), dict[str, Any]()
    for word in ("origin [16]", "incarnation u64", "sequence u64", "timestamp u64", "kind u8", "flags u8"):
        _field(word, cursor, value)
    value["body"] = cursor.take(cursor.number(16)).hex()
    if cursor.data:
        raise Refused("trailing")
    flags = value["flags"]
    if (
        not value["sequence"]
        or value["kind"] not in range(1, 6)
        or flags > 1
        or (flags and value["kind"] == 2)
    ):
        raise Refused("bad-value")
    return value


def proven(data: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    """A RECORD frame's payload: the record's fields, the root its path leads to (a lone record is its own),
    the signature."""
    cursor = Cursor(data)
    size, index, signature = cursor.number(8), cursor.number(8), cursor.take(64)
    if index >= size or size > 32:
        raise Refused("bad-proof")
    steps = path_sides(index, size)
    path = [cursor.take(16) for _ in steps]
    node = cursor.data if size == 1 else hashlib.sha256(b"\0" + cursor.data).digest()[:16]
    for left, beside in zip(steps, path, strict=True):
        node = hashlib.sha256(b"\1" + (beside + node if left else node + beside)).digest()[:16]
    return record(cursor.data), node, signature


def path_sides(index: int, size: int) -> list[bool]:
    """Of each node of the path, from the bottom, whether it stands to the left (RFC 6962, 2.1.1)."""
    if size == 1:
        return []
    split = 1 << (size - 1).bit_length() - 1
    if index < split:
        return [*path_sides(index, split), False]
    return [*path_sides(index - split, size - split), True]


def frames(plain: bytes) -> list[tuple[int, Any]]:
    """The frames of an opened datagram: (type, fields), and for records what proven() says."""
    cursor = Cursor(plain)
    found: list[tuple[int, Any]] = []
    while cursor.data:
        if cursor.data[0] == 0:
            if any(cursor.data):
                raise Refused("padding")
            break
        number, flags = cursor.number(8), cursor.number(8)
        data = cursor.take(cursor.number(16))
        if number == 1:
            found.append((number, proven(data)))
        elif number in FRAMES:
            found.append((number, payload(number, flags, data)))
        elif not flags & 1:
            raise Refused("unknown-frame")
    if not found:
        raise Refused("empty")
    return found


def messages(kind: int, body: bytes) -> list[bytes]:
    """The whole messages in a record's body."""
    if kind != 2:
        return [body]
    cursor = Cursor(body)
    lengths = [cursor.number(16) for _ in range(cursor.number(16))]
    return [cursor.take(length) for length in lengths]


def hkdf(secret: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    """RFC 5869 with SHA-256."""
    key = hmac.digest(salt or bytes(32), secret, "sha256")
    output = block = b""
    while len(output) < size:
        block = hmac.digest(key, block + info + bytes((len(output) // 32 + 1,)), "sha256")
        output += block
    return output[:size]


def open_datagram(room_key: bytes, datagram: bytes) -> bytes:
    """The frames sealed in a datagram."""
    header, sealed = datagram[:24], datagram[24:]
    key = hkdf(room_key, header[8:16], b"mcast2 datagram", 32)
    return ChaCha20Poly1305(key).decrypt(bytes(4) + header[16:24], sealed, header)


def directed_keys(room_id: bytes, agreed: bytes, names: bytes) -> tuple[bytes, bytes]:
    """The keys of a directed message, of the two X25519 secrets and the three public values."""
    keys = hkdf(agreed, room_id, b"mcast2 directed" + names, 64)
    return keys[:32], keys[32:]


def open_directed(seal_key: bytes, ack_key: bytes, frames_hex: list[str], ack_hex: str) -> bytes:
    """The content of the DIRECTED frames, if the DIRECTED_ACK is right, too."""
    content = b""
    for index, frame in enumerate(frames_hex):
        head, sealed = bytes.fromhex(frame)[4:102], bytes.fromhex(frame)[104:]
        assert head[-2:] == bytes((index, len(frames_hex)))
        content += ChaCha20Poly1305(seal_key).decrypt(index.to_bytes(12, "big"), sealed, head)
    ack = bytes.fromhex(ack_hex)[4:]
    head, mac, got = ack[:57], ack[57:73], ack[75:]
    assert hmac.digest(ack_key, head + bytes(16) + got, "sha256")[:16] == mac
    assert int.from_bytes(got, "little") == (1 << len(frames_hex)) - 1
    return content


def genuine(public_key: bytes, room_id: bytes, number: int, data: bytes) -> bool:
    """Whether the payload `data` of a signed frame of type `number` carries section 5's signature."""
    if number != 1:
        return _signed(public_key, number, room_id, data[:-64], data[-64:])
    value, root, signature = proven(data)
    origin, incarnation = bytes.fromhex(value["origin"]), value["incarnation"].to_bytes(8, "big")
    return _signed(public_key, 1, room_id, origin + incarnation + data[:1] + root, signature)


def signed_payloads(plain: bytes) -> list[tuple[int, bytes]]:
    """Type and payload of each signed frame in an opened datagram, and of the ANNOUNCEMENT in a ROSTER."""
    found, cursor = [], Cursor(plain)
    while cursor.data and cursor.data[0]:
        number = cursor.number(16) >> 8
        data = cursor.take(cursor.number(16))
        name, _, remark = FRAMES[number]
        if name == "ROSTER":
            found.append((3, data[20:]))
        elif "signed" in remark:
            found.append((number, data))
    return found


def _signed(public_key: bytes, number: int, room_id: bytes, content: bytes, signature: bytes) -> bool:
    claim = b"mcast2 signed\0\0" + bytes((number,)) + room_id + content
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, claim)
    except InvalidSignature:
        return False
    return True
