"""Our own records: which are held, and which are history yet."""

from __future__ import annotations

from mcast.core.reliability.sender import TransmitWindow


def test_own_records_are_forgotten_up_to_one() -> None:
    sent = TransmitWindow(10, 1000)
    sent.add(1, [b"x"] * 3, 0.0)
    sent.forget(2)
    held = sent.get(3)
    assert held is not None
    assert (sent.low, sent.high, sent.get(2), held.payload) == (3, 3, None, b"x")
    sent.forget(9)
    assert sent.low == 4


def test_own_records_grow_old() -> None:
    sent = TransmitWindow(3, 1000)
    assert sent.young == 1
    sent.expire(5.0)
    for sequence in range(1, 4):
        sent.add(sequence, [b"x"], float(sequence))
    sent.expire(2.5)
    assert (sent.young, sent.low) == (3, 1)
    sent.expire(9.0)
    assert (sent.young, sent.low) == (4, 1)
    sent.add(4, [b"x"], 9.0)
    sent.add(5, [b"x"], 9.5)
    assert (sent.young, sent.low) == (4, 3)
    sent.forget(4)
    assert (sent.young, sent.low, sent.get(4)) == (5, 5, None)
