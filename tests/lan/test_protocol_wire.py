"""What is on the wire, and what is made of what others put there."""

from __future__ import annotations

import time

from mcast.crypto.rooms import open_room
from mcast.crypto.seal import Opener
from mcast.wire.codec import decode_frames
from mcast.wire.header import decode_header
from mcast.wire.reasons import DropReason
from mcast.wire.records import Record
from tests import lab
from tests.lan.programs.remote import Member, members

GROUP, TWIN, PORT = "230.0.0.1", "ff12::6d63", 28003
KEY = "5e" * 32


def listener(host: lab.Host) -> lab.Peer:
    """Plain sockets that hear all that is sent to the default group."""
    peer = lab.Peer(host, PORT)
    peer.join(GROUP)
    peer.join(TWIN)
    return peer


def records_in(datagram: bytes, opener: Opener) -> int:
    """How many records a datagram of the open room carries."""
    header = decode_header(datagram)
    assert not isinstance(header, DropReason)
    plain = opener.open(header, datagram)
    assert isinstance(plain, bytes)
    frames = decode_frames(plain)
    assert not isinstance(frames, DropReason)
    return sum(isinstance(frame, Record) for frame in frames)


def test_a_line_is_one_datagram(lan: lab.MakeLan) -> None:
    *hosts, watching = lan(4, offload=False).hosts
    sender, *receivers = members(hosts)
    time.sleep(1.0)
    peer = listener(watching)
    for number in range(100):
        sender("send", str(number).ljust(40, "."))
        time.sleep(0.01)  # what is said within 5 ms shares a record
    for receiver in receivers:
        receiver.hears(100)
    peer.settle()
    opener = Opener(open_room(f"{GROUP}:{PORT}", ""))
    counts = [records_in(text.encode("latin-1"), opener) for text, _ in peer.take()]
    assert sum(counts) == 100, "each record once, in one IP version"
    assert max(counts) == 1


def test_a_keyed_room_tells_others_nothing(lan: lab.MakeLan) -> None:
    made = lan(3)
    h1, h2, h3 = made.hosts
    inside = [Member(host, key=KEY) for host in (h1, h2)]
    outside = [Member(h3), Member(h3, name="wrong", key="00" * 32)]
    inside[0].sees("h2")
    told = "only-for-us"
    peer = listener(h3)
    inside[0]("send", told)
    assert inside[1].hears(1) == [told]
    outside[0]("send", "hello")
    time.sleep(0.5)
    for member in outside:
        assert member.texts() == []
        assert member("peers") == {}
        assert not member.events("PlainText")
        assert member("stats")["dropped-unknown-room"] > 0
    assert inside[1].texts() == [told], "open traffic is not accepted where there is a key"
    assert not any(told in text for text, _ in peer.take())


def test_plain_text_is_shown_in_open_rooms_only(lan: lab.MakeLan) -> None:
    h1, h2, h3 = lan(3).hosts
    opened, keyed = Member(h1), Member(h2, key=KEY)
    lab.Peer(h3, PORT).send(GROUP, "plain words")
    lab.until(lambda: bool(opened.events("PlainText")))
    (shown,) = opened.events("PlainText")
    assert shown["text"] == "plain words"
    assert shown["interface"] == "eth0"
    assert opened.texts() == []
    time.sleep(0.3)
    assert keyed.events("PlainText") == []


def test_a_recording_is_never_shown_as_live(lan: lab.MakeLan) -> None:
    """Those who were there drop it as what they have; one who came later cannot be made to believe it."""
    h1, h2, h3, h4 = lan(4).hosts
    recorder = listener(h4)
    author, witness = members([h1, h2])
    for number in range(5):
        author("send", f"line{number}")
    assert witness.hears(5) == [f"line{number}" for number in range(5)]
    author.leave()
    witness.sees()
    recorder.settle()
    recording = recorder.take()
    time.sleep(2.0)
    late = Member(h3, settings={"live_window": 1.0})
    late.sees("h2")
    witness.sees("h3")
    for _ in range(2):
        for text, _source in recording:
            recorder.send(GROUP, text)
    time.sleep(1.5)
    assert witness("count") == 5
    assert [message for message in late("messages") if not message["history"]] == []
    assert "h1" not in {peer["name"] for peer in late.events("PeerJoined")}
    assert list(late("peers").values()) == ["h2"]
    assert list(witness("peers").values()) == ["h3"]
