"""When a digest is said, which digests count, and what is lacking."""

from __future__ import annotations

import itertools
from math import inf
from random import Random

from mcast import simulation
from mcast.core.context import Datagram
from mcast.core.history.anti_entropy import HeardDigests, Lull, Trickle
from mcast.wire.frames import Digest, Holding, Missing
from tests.unit.core.support import ADDRESS, Outsider, record


def test_the_longer_all_agree_the_rarer_the_word() -> None:
    trickle = Trickle(Random(1), 1.0, 8.0)
    assert trickle.next == inf
    assert not trickle.due(0.0, 2)
    trickle.reset(0.0, 2)
    trickle.reset(0.1, 2)
    spoken, now = [], 0.0
    while now < 60.0:
        now = max(now, trickle.next)
        if trickle.due(now, 2):
            spoken.append(now)
    waits = [later - before for before, later in itertools.pairwise(spoken)]
    assert 0.5 <= spoken[0] <= 1.0
    assert waits[0] < waits[2] < 8.0
    assert max(waits) <= 12.0
    trickle.reset(now, 2)
    assert trickle.next - now <= 1.0


def digests_said(consistent: tuple[int, ...]) -> int:
    """How many digests a member of the LANs 0 and 1 says at once, after `consistent` ones came by those."""
    lan = simulation.Lan(18)
    ada = lan.join("ada", lans=(0, 1))
    lan.run(1.0)
    ada.send("x")
    lan.run(10.0)
    entropy, store = ada.engine._anti_entropy, ada.engine._store
    entropy._trickle.next = inf
    entropy._trickle.reset(lan.now, 2)
    assert entropy._trickle.consistent == 0
    networks = ada.engine._context.networks
    for number in consistent:
        bit = networks.add(number)
        digest = store.summary(bit)
        said = Digest(digest.digest, len(digest), digest.records)
        assert entropy._on_digest(Datagram(ADDRESS, bytes(8), networks=bit), said, lan.now) is None
    entropy.on_timeout(entropy._trickle.next)
    queued = [frame for queued in ada.engine._context.queue for frame in queued.frames]
    return sum(isinstance(frame, Digest) for frame in queued)


def test_one_consistent_word_is_enough_on_its_network() -> None:
    assert digests_said(()) == 2
    assert digests_said((1,)) == 1
    assert digests_said((0, 1)) == 0


def test_digests_heard_are_remembered_for_a_while_and_bounded() -> None:
    digests = HeardDigests(2, 10.0)
    assert digests.new(b"1", 0.0)
    assert not digests.new(b"1", 9.0)
    assert digests.new(b"1", 20.0)
    assert digests.new(b"2", 20.0)
    assert digests.new(b"3", 20.0)
    assert digests.new(b"1", 20.0)


def test_a_digest_counts_when_it_is_quiet_or_has_not_been_for_long() -> None:
    lull = Lull()
    assert (lull.next, lull.due(0.0)) == (inf, False)
    assert lull.counts(0.0)
    lull.moved(5.0)
    assert not lull.counts(5.5)
    assert lull.next == 6.0
    assert not lull.due(5.9)
    assert lull.due(6.0)
    assert lull.counts(6.0)
    for at in range(7, 17):
        lull.moved(at)
    assert lull.counts(16.5)


def test_what_is_held_already_is_not_lacking() -> None:
    engine = simulation.Lan(17).join("ada").engine
    peer_id = Outsider(simulation.Lan(17)).peer_id
    for sequence in (1, 2, 7, 8, 12, 30):
        engine._store.add(peer_id, [record(sequence)], 0.0, 0.0)

    networks = engine._context.networks
    here = networks.add(0)
    networks.heard(peer_id, here)

    def lacking(low: int, high: int) -> list[tuple[int, int]]:
        return engine._anti_entropy._lacking(peer_id, Holding(*peer_id, low, high, ()), here)

    assert lacking(3, 19) == [(3, 7), (9, 12), (13, 20)]
    assert lacking(7, 8) == []
    wanted = Missing(*peer_id, ((1, 9), (12, 40)))
    assert engine._server._held(peer_id, wanted, here, 99) == [1, 2, 7, 8, 12, 30]
    assert engine._server._held(peer_id, wanted, here, 3) == [1, 2, 7]
