"""A lone message leaves at once and is told at once; one sent right after it waits for company."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf

import pytest

from mcast import simulation
from mcast.core.engine import Engine
from mcast.core.events import Message
from mcast.core.reliability.receiver import TOGETHER
from mcast.errors import UsageError

from .support import ADDRESS


def test_only_the_first_of_a_burst_may_leave_at_once() -> None:
    lan = simulation.Lan(seed=1)
    engine = lan.join("ada").engine
    assert not engine.may_flush(lan.now)
    engine.send(b"first", lan.now)
    assert engine.may_flush(lan.now)
    engine.datagrams(lan.now)
    engine.send(b"second", lan.now)
    assert not engine.may_flush(lan.now)
    assert engine.may_flush(lan.now + lan.settings.flush_interval)


def two_who_talk() -> tuple[simulation.Lan, Engine, Engine]:
    """A LAN with two members who know each other, the first of whom has published."""
    lan = simulation.Lan(seed=1)
    ada, ben = lan.join("ada"), lan.join("ben")
    lan.run(1.0)
    ada.send(b"first")
    lan.run(1.0)
    return lan, ada.engine, ben.engine


def say(ada: Engine, text: bytes, now: float) -> bytes:
    """The datagram with a lone message."""
    ada.send(text, now)
    return ada.datagrams(now)[-1].data


def hear(ben: Engine, datagram: bytes, now: float) -> list[bytes]:
    """What `ben` is told of a datagram, at once."""
    assert ben.receive(datagram, ADDRESS, now)
    return [event.data for event in ben.events() if isinstance(event, Message)]


def test_what_is_in_order_is_told_before_it_is_put_away_and_nobody_can_tell() -> None:
    lan, ada, ben = two_who_talk()
    now, kept = lan.now, ben.stats()["held-records"]
    assert hear(ben, say(ada, b"second", now), now) == [b"second"]
    assert hear(ben, say(ada, b"third", now + 1), now + 1) == [b"third"]
    ben.tick(now + 1)
    assert ben.stats()["held-records"] == kept + 2


@pytest.mark.parametrize("call", ["stats", "deadline", "tick", "datagrams", "receive", "close"])
def test_every_call_first_puts_away_what_was_told(call: str) -> None:
    lan, ada, ben = two_who_talk()
    hear(ben, say(ada, b"second", lan.now), lan.now)
    assert ben._receiver.unsettled
    ada.tick(lan.now + 0.5)
    heartbeat = ada.datagrams(lan.now + 0.5)[0].data
    calls: dict[str, Callable[[], object]] = {
        "stats": ben.stats,
        "deadline": ben.deadline,
        "tick": lambda: ben.tick(lan.now),
        "datagrams": lambda: (ben.send(b"mine", lan.now), ben.datagrams(lan.now)),
        "receive": lambda: ben.receive(heartbeat, ADDRESS, lan.now + 0.5),
        "close": lambda: ben.close(lan.now),
    }
    calls[call]()
    assert not ben._receiver.unsettled


@pytest.mark.parametrize(
    "call", ["stats", "deadline", "tick", "datagrams", "receive", "close", "ask_reports", "lost_network"]
)
def test_every_call_first_writes_down_what_was_sent(call: str) -> None:
    lan, ada, ben = two_who_talk()
    heard = say(ben, b"mine", lan.now)
    before = ada._sender.window.high
    say(ada, b"second", lan.now)
    assert ada._sender.window.high == before
    calls: dict[str, Callable[[], object]] = {
        "stats": ada.stats,
        "deadline": ada.deadline,
        "tick": lambda: ada.tick(lan.now),
        "datagrams": lambda: (ada.send(b"third", lan.now), ada.datagrams(lan.now)),
        "receive": lambda: ada.receive(heard, ADDRESS, lan.now),
        "close": lambda: ada.close(lan.now),
        "ask_reports": lambda: ada.ask_reports(lan.now),
        "lost_network": lambda: ada.lost_network(lan.now),
    }
    calls[call]()
    assert ada._sender.window.high == before + 1


def test_who_sends_while_another_flush_is_written_down_loses_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    lan, ada, ben = two_who_talk()
    sent = ada._sender.window
    before, add = sent.high, sent.add
    ada.send_all([b"x" * 1000] * 3, lan.now)
    said = [outgoing.data for outgoing in ada.datagrams(lan.now)]

    class Interrupted(list[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            for place in range(len(self)):
                if place == 2:
                    said.append(say(ada, b"urgent", lan.now + 0.006))
                yield self[place]

    def interrupted(first: int, payloads: Sequence[bytes], now: float) -> None:
        monkeypatch.setattr(sent, "add", add)
        add(first, Interrupted(payloads), now)

    monkeypatch.setattr(sent, "add", interrupted)
    ada.deadline()
    ada.deadline()
    assert sent.high == before + 4
    assert sent._bytes == sum(len(held.payload) for held in sent._records.values())
    ben.receive_all(said, ADDRESS, lan.now)
    assert len([event for event in ben.events() if isinstance(event, Message)]) == 4


def test_what_is_missing_before_a_record_will_be_asked_for_before_the_record_is_put_away() -> None:
    lan, ada, ben = two_who_talk()
    say(ada, b"lost", lan.now)
    assert hear(ben, say(ada, b"after", lan.now + 1), lan.now + 1) == []
    assert ben._receiver.unsettled
    assert ben._nacks.next_timeout < inf


def test_who_confirms_at_the_last_moment_counts_what_was_just_told() -> None:
    lan, ada, ben = two_who_talk()
    before = ben._context.sent["report"]
    hear(ben, say(ada, b"second", lan.now), lan.now)
    ben.close(lan.now)
    ben.datagrams(lan.now)
    assert ben._context.sent["report"] > before


def test_a_datagram_that_is_not_for_us_changes_nothing() -> None:
    lan, ada, ben = two_who_talk()
    before = ada.stats()["dropped-own"]
    datagram = say(ada, b"second", lan.now)
    assert not ada.receive(datagram, ADDRESS, lan.now)
    assert not ben.receive(b"plain text", ADDRESS, lan.now)
    assert ben.receive(datagram, ADDRESS, lan.now)
    assert not ben.receive(datagram, ADDRESS, lan.now)
    assert ada.stats()["dropped-own"] == before + 1
    assert ben.stats()["dropped-repeated"] == 1


def test_records_in_a_row_are_put_away_together_but_not_without_bound() -> None:
    lan, ada, ben = two_who_talk()
    waiting = []
    for turn in range(TOGETHER + 20):
        now = lan.now + turn
        assert hear(ben, say(ada, b"one more", now), now) == [b"one more"]
        waiting.append(len(ben._receiver.unsettled))
    assert max(waiting) == TOGETHER
    assert waiting[-1] < 20


def test_a_closed_or_passive_member_cannot_send_many() -> None:
    lan, ada, _ = two_who_talk()
    assert ada.send_all([b"a", b"b"], lan.now).index == 1
    ada.close(lan.now)
    with pytest.raises(UsageError):
        ada.send_all([b"late"], lan.now)
