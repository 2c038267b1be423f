"""Keys that are asked for and given, and records that wait for one."""

from __future__ import annotations

from math import inf

from mcast import simulation
from mcast.core.auth.ingress import Checks
from mcast.core.auth.keys import ASK_WITHIN, ASKED, WAITING, KeyExchange, WaitingRecords
from mcast.core.auth.verifier import Verifier
from mcast.core.context import Context, Datagram
from mcast.core.membership.roster import Roster
from mcast.wire import frames as f
from mcast.wire.reasons import DropReason
from tests.unit.core.support import ADDRESS, Outsider, drops, make_context, record, texts

DATAGRAM = Datagram(ADDRESS, bytes(8), size=700, networks=1)


def make_keys(context: Context) -> tuple[KeyExchange, Verifier]:
    """A key exchange that knows nobody."""
    verifier = Verifier(context, Checks(context.room))
    return KeyExchange(context, verifier, Roster(context, 8, 8), lambda origin: False), verifier


def test_records_wait_for_a_while_and_within_bounds() -> None:
    context = make_context()
    waiting: WaitingRecords[str] = WaitingRecords(context, DropReason.UNKNOWN_KEY)
    assert waiting.next_timeout == inf
    assert waiting.add("key", record(1), DATAGRAM, 1.0, 0.0)
    assert waiting.add("key", record(2), DATAGRAM, 1.5, 7.0)
    assert waiting.next_timeout == 2.0
    assert not waiting.add("other", record(3, bytes(WAITING)), DATAGRAM, 1.5, 0.0)
    assert [(waiter.record.sequence, waiter.age) for waiter in waiting.take("key")] == [(1, 0.0), (2, 7.0)]
    assert waiting.take("key") == []
    assert waiting.next_timeout == inf
    waiting.add("late", record(1), DATAGRAM, 3.0, 0.0)
    waiting.expire(3.5)
    assert context.drops[DropReason.UNKNOWN_KEY] == 0
    assert len(waiting) == 1
    waiting.expire(4.0)
    assert context.drops[DropReason.UNKNOWN_KEY] == 1
    assert len(waiting) == 0


def test_records_wait_for_their_key_and_for_a_second_at_most() -> None:
    lan = simulation.Lan(18)
    bob = lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.record(1, b"early"))
    assert texts(bob) == []
    eve.say(eve.key)
    assert texts(bob) == ["early"]
    assert bob.engine.stats().get("sent-keyrequest", 0) <= 1
    ghost = Outsider(lan, 5)
    ghost.say(ghost.record(1, b"never"))
    for sequence in range(2, 80):
        ghost.say(ghost.record(sequence, bytes(1200)))
    assert drops(bob, "waiting-full") > 0
    lan.run(2.0)
    assert drops(bob, "unknown-key") > 0
    ghost.say(ghost.key)
    assert texts(bob) == ["early"]


def test_keys_are_given_to_who_asks_by_owner_or_holder() -> None:
    lan = simulation.Lan(19)
    ada, bob = lan.join("ada"), lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.key)
    lan.run(1.0)
    eve.say(f.KeyRequest((ada.engine.peer_id.origin, eve.peer_id.origin, bytes(16))), size=700)
    lan.run(1.0)
    assert ada.engine.stats()["sent-key"] >= 1
    given = [member.engine.stats().get("sent-key", 0) for member in (ada, bob)]
    assert sum(given) == 2
    eve.say(f.KeyRequest((bytes(16),)))
    assert drops(ada, "over-budget") == drops(bob, "over-budget") == 1


def test_key_answers_are_sparing_and_bounded() -> None:
    context = make_context()
    keys, verifier = make_keys(context)
    eve = Outsider(simulation.Lan(1))
    assert verifier.learn(eve.own_key, False, 0.0, lambda origin: False) is None
    context.networks.key_heard(eve.peer_id.origin, DATAGRAM.networks)
    handle = keys.handlers[f.KeyRequest]
    request = f.KeyRequest((eve.peer_id.origin,))
    assert handle(DATAGRAM, request, 0.0) is None
    when = keys.next_timeout
    assert 0.1 <= when < 1.0
    assert handle(DATAGRAM, request, 0.0) is None
    assert keys.next_timeout == when
    keys.on_timeout(when - 0.01)
    assert not context.queue
    keys.on_timeout(when)
    assert [queued.frames for queued in context.queue] == [(eve.own_key,)]
    assert handle(DATAGRAM, request, when + 0.1) is DropReason.OVER_BUDGET
    context.queue.clear()
    keys.want(b"b" * 16, DATAGRAM.networks, 2.0)
    when = keys.next_timeout
    assert 2.0 <= when <= 2.0 + ASK_WITHIN
    keys.want(b"b" * 16, DATAGRAM.networks, 2.0)
    assert keys.next_timeout == when
    keys.on_timeout(when)
    assert [queued.frames for queued in context.queue] == [(f.KeyRequest((b"b" * 16,)),)]
    keys.want(b"b" * 16, DATAGRAM.networks, when + 0.1)
    assert keys.next_timeout == inf
    for number in range(2 * ASKED):
        handle(DATAGRAM, f.KeyRequest((b"%16d" % number,)), 3.0)
    assert len(keys._asked) == ASKED


def test_a_key_that_is_forgotten_meanwhile_is_not_sent() -> None:
    lan = simulation.Lan(1)
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(eve.key)
    lan.run(1.0)
    eve.say(f.KeyRequest((eve.peer_id.origin,)), size=700)
    assert ada.engine._keys._answers.get(eve.peer_id.origin) is not None
    ada.engine._verifier._keys.clear()
    lan.run(1.0)
    assert ada.engine._keys._answers.get(eve.peer_id.origin) is None
    assert ada.engine.stats().get("sent-key", 0) == 0


def test_records_that_waited_for_a_key_are_checked_with_it() -> None:
    lan = simulation.Lan(11)
    ada = lan.join("ada")
    eve, liar = Outsider(lan), Outsider(lan, 5)
    liar.peer_id = eve.peer_id
    forged = liar.record(1, b"forged")
    eve.say(forged)
    eve.say(eve.key)
    assert ada.messages() == []


def test_what_waits_is_let_go_in_one_pass_also_if_a_later_one_ends_first() -> None:
    waiting: WaitingRecords[bytes] = WaitingRecords(make_context(), DropReason.UNKNOWN_KEY)
    assert waiting.add(b"k", record(1), DATAGRAM, 5.0, 0.0)
    assert waiting.add(b"k", record(2), DATAGRAM, 4.5, 0.0)
    waiting.expire(5.5)
    assert (len(waiting), waiting.next_timeout) == (2, 6.0)
    waiting.expire(6.0)
    assert (len(waiting), waiting.next_timeout) == (0, float("inf"))
