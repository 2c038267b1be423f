"""What a request under a forged address brings about, all members together: at most three times its bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest

from mcast import simulation
from mcast.core.events import PeerId
from mcast.wire import frames as f
from mcast.wire.codec import encode_frames
from mcast.wire.header import Header, decode_header
from tests.unit.core.support import ADDRESS, Outsider

MEMBERS = 12
PERIODIC = ({f.Key, f.Announcement}, {f.Announcement}, {f.Heartbeat}, {f.Key, f.Heartbeat}, {f.Digest})


class Victim(Outsider):
    """Its address is used by somebody else; counts what the members send because of it."""

    def __init__(self, lan: simulation.Lan) -> None:
        super().__init__(lan)
        self.bytes = 0
        self.frames: list[str] = []
        lan.on_transmit = self._count

    def _count(self, data: bytes, source: object, destination: object) -> None:
        header = decode_header(data)
        assert isinstance(header, Header)
        frames = self.lan.checks.open(header, data)
        assert isinstance(frames, list)
        kinds = {type(frame) for frame in frames}
        if source != ADDRESS and not (destination is None and kinds in PERIODIC):
            self.bytes += len(data)
            self.frames.append("+".join(type(frame).__name__ for frame in frames))


Scene = tuple[simulation.Lan, list[simulation.Member], "Victim"]


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Members with long names that know each other; one of them is gone, one has published."""
    lan = simulation.Lan(seed=6)
    members = [lan.join(f"{number:064d}") for number in range(MEMBERS)]
    lan.run(3.0)
    members[0].send("a record")
    members[-1].crash()
    lan.run(120.0)
    return lan, members, Victim(lan)


Make = Callable[[PeerId, PeerId, list[bytes]], f.Frame]
REQUESTS: dict[str, Make] = {
    "key": lambda author, gone, all_: f.KeyRequest((author.origin,)),
    "key by multicast": lambda author, gone, all_: f.KeyRequest((author.origin,), f.BY_MULTICAST),
    "key of who is gone": lambda author, gone, all_: f.KeyRequest((gone.origin,)),
    "all keys": lambda author, gone, all_: f.KeyRequest(tuple(all_)),
    "roster": lambda author, gone, all_: f.RosterRequest(0),
    "roster by multicast": lambda author, gone, all_: f.RosterRequest(0, f.BY_MULTICAST),
    "a late page": lambda author, gone, all_: f.RosterRequest(500),
    "report": lambda author, gone, all_: f.ReportRequest(*author, 1, 0),
    "report by multicast": lambda author, gone, all_: f.ReportRequest(*author, 1, 0, f.BY_MULTICAST),
    "probe": lambda author, gone, all_: f.Probe(*author, bytes(16)),
    "probe by multicast": lambda author, gone, all_: f.Probe(*author, bytes(16), f.BY_MULTICAST),
    "who": lambda author, gone, all_: f.Who(bytes(8)),
    "who by multicast": lambda author, gone, all_: f.Who(bytes(8), f.BY_MULTICAST),
    "directed": lambda author, gone, all_: f.Directed(*author, *author, 1, 0, bytes(32), 0, 1, bytes(99)),
    "ping": lambda author, gone, all_: f.Ping(*author, bytes(8), 1, f.Path.UNICAST),
    "ping back to the group": lambda author, gone, all_: f.Ping(*author, bytes(8), 1, f.Path.GROUP),
    "ping whoever is there": lambda author, gone, all_: f.Ping(bytes(16), 0, bytes(8), 1, f.Path.UNICAST),
    "vectors": lambda author, gone, all_: f.VectorRequest(bytes(16), 0, 2**32 - 1, 7),
    "ranges": lambda author, gone, all_: f.RangeRequest(1, (f.Missing(*author, ((1, 1),)),)),
    "ranges by multicast": lambda author, gone, all_: f.RangeRequest(
        1, (f.Missing(*author, ((1, 1),)),), f.BY_MULTICAST
    ),
}


def test_every_request_is_tried() -> None:
    author = PeerId(bytes(16), 1)
    tried = {type(make(author, author, [bytes(16)])) for make in REQUESTS.values()}
    assert tried == set(get_args(f.Request))


@pytest.mark.parametrize("to", ["group", "one"])
@pytest.mark.parametrize("padding", [0, 60, 200, 1000])
@pytest.mark.parametrize("name", REQUESTS)
def test_no_request_moves_more_than_three_times_its_bytes(
    scene: Scene, name: str, padding: int, to: str
) -> None:
    lan, members, victim = scene
    peer_ids = [member.engine.peer_id for member in members]
    request = REQUESTS[name](peer_ids[0], peer_ids[-1], [author.origin for author in peer_ids])
    question = victim.sealer.seal(encode_frames([request], padding))
    victim.bytes, victim.frames = 0, []
    lan.transmit(question, ADDRESS, None if to == "group" else members[0].address)
    lan.run(3.0)
    assert victim.bytes <= 3 * len(question), (victim.bytes / len(question), victim.frames)


@pytest.mark.parametrize("padding", [0, 444, 1000])
def test_three_greet_a_newcomer_with_three_times_its_bytes(padding: int) -> None:
    """Whoever makes up an identity can sign such an announcement under any address."""
    lan = simulation.Lan(seed=7)
    for number in range(MEMBERS):
        lan.join(f"{number:064d}")
    lan.run(120.0)
    victim = Victim(lan)
    frames: list[f.Frame] = [victim.own_key, victim.announcement(flags=f.NEWCOMER)]
    question = victim.sealer.seal(encode_frames(frames, padding))
    lan.transmit(question, ADDRESS)
    lan.run(3.0)
    assert len(victim.frames) == 3
    assert all(frame.startswith("Challenge") for frame in victim.frames)
    assert victim.bytes <= 3 * len(question), (victim.bytes / len(question), victim.frames)


@pytest.mark.parametrize("to", ["group", "one"])
@pytest.mark.parametrize("name", REQUESTS)
def test_many_requests_in_one_datagram_move_no_more(scene: Scene, name: str, to: str) -> None:
    lan, members, victim = scene
    peer_ids = [member.engine.peer_id for member in members]
    request = REQUESTS[name](peer_ids[0], peer_ids[-1], [author.origin for author in peer_ids])
    requests = [request] * (1100 // len(encode_frames([request])))
    question = victim.sealer.seal(encode_frames(requests))
    lan.run(2.0)  # budgets are full
    victim.bytes, victim.frames = 0, []
    lan.transmit(question, ADDRESS, None if to == "group" else members[0].address)
    lan.run(3.0)
    assert victim.bytes <= 3 * len(question), (victim.bytes / len(question), victim.frames)


@pytest.mark.parametrize("to", ["group", "one"])
def test_many_newcomers_in_one_datagram_are_greeted_as_one(to: str) -> None:
    lan = simulation.Lan(seed=7)
    members = [lan.join(f"{number:064d}") for number in range(3)]
    lan.run(120.0)
    victim = Victim(lan)
    frames: list[f.Frame] = [f.Who(bytes(8)), victim.own_key]
    for _ in range(4):
        victim.peer_id = PeerId(victim.peer_id.origin, victim.peer_id.incarnation + 1)
        frames.append(victim.announcement(flags=f.NEWCOMER))
    question = victim.sealer.seal(encode_frames(frames))
    lan.transmit(question, ADDRESS, None if to == "group" else members[0].address)
    lan.run(3.0)
    assert victim.bytes <= 3 * len(question), (victim.bytes / len(question), victim.frames)
