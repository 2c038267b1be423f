"""No bytes make the engine raise: junk, and frames of a real conversation, changed and sealed anew."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mcast import simulation
from mcast.crypto.seal import Opener, Sealer
from mcast.wire.codec import decode_frames, encode_frames
from mcast.wire.frames import BY_MULTICAST, Frame
from mcast.wire.header import Header, decode_header
from mcast.wire.records import Record


@functools.cache
def _conversation() -> tuple[list[Frame], list[bytes]]:
    """The frames and datagrams of a short conversation with loss, of every type that is sent."""
    lan = simulation.Lan(3, loss=0.3)
    opener, frames, datagrams = Opener(lan.room), list[Frame](), list[bytes]()

    def listen(data: bytes, _source: object, _to: object) -> None:
        header = decode_header(data)
        assert isinstance(header, Header)
        plain = opener.open(header, data)
        assert isinstance(plain, bytes)
        decoded = decode_frames(plain)
        assert isinstance(decoded, list)
        frames.extend(decoded)
        datagrams.append(data)

    lan.on_transmit = listen
    members = [lan.join(f"m{number}") for number in range(5)]
    for number in range(20):
        members[number % 5].send(b"%d" % number * 400)
        lan.run(0.5)
    members[0].engine.ask_reports(lan.now)
    members[0].leave()
    members[1].crash()  # so that it is probed, by multicast in the end
    lan.run(30.0)
    return frames, datagrams


def _listener() -> tuple[simulation.Lan, simulation.Member]:
    lan = simulation.Lan(4)
    member = lan.join("listener")
    lan.run(0.1)
    return lan, member


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_junk_is_counted(junk: list[bytes]) -> None:
    lan, member = _listener()
    for datagram in junk:
        member.engine.receive(datagram, ("10.0.0.9", 1), lan.now)
    stats = member.engine.stats()
    assert sum(count for name, count in stats.items() if name.startswith("dropped-")) >= len(junk)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_changed_datagrams_and_frames_are_survived(data: st.DataObject) -> None:
    frames, datagrams = _conversation()
    lan, member = _listener()
    sealer = Sealer(lan.room, b"mutation")
    for _ in range(12):
        if data.draw(st.booleans()):
            datagram = bytearray(data.draw(st.sampled_from(datagrams)))
            datagram[data.draw(st.integers(0, len(datagram) - 1))] ^= data.draw(st.integers(0, 255))
            sealed = bytes(datagram)
        else:
            chosen = data.draw(st.lists(st.sampled_from(frames), min_size=1, max_size=3))
            plain = bytearray(encode_frames([_changed(frame, data) for frame in chosen]))
            if data.draw(st.booleans()):
                plain[data.draw(st.integers(0, len(plain) - 1))] ^= data.draw(st.integers(0, 255))
            sealed = sealer.seal(bytes(plain))
        member.receive(sealed, ("10.0.0.9", data.draw(st.integers(1, 3))))
        lan.run(data.draw(st.sampled_from([0.0, 0.01, 1.0])))
    assert all(message.data.strip(b"0123456789") == b"" for message in member.messages())


def _changed(frame: Frame, data: st.DataObject) -> Frame:
    """The frame with one number changed, where that can be written."""
    if isinstance(frame, Record):
        return frame
    fields = [
        name
        for name in frame.__struct_fields__
        if isinstance(getattr(frame, name), int)
        and name not in ("flags", "limit", "port", "spread", "start", "size", "part")
    ]
    if not fields or data.draw(st.booleans()):
        return frame
    value: Any = data.draw(st.sampled_from([0, 1, 2, 1000, 2**31, 2**32 - 1]))
    return msgspec.structs.replace(frame, **{data.draw(st.sampled_from(fields)): value})


def test_requests_may_ask_for_an_answer_by_multicast() -> None:
    """The conversation has requests of both kinds, so that mutations start from each."""
    frames, _ = _conversation()
    assert {getattr(frame, "flags", 0) & BY_MULTICAST for frame in frames} == {0, BY_MULTICAST}
