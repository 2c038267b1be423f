"""Copies of a datagram through several interfaces are one line; a line said twice is two."""

from __future__ import annotations

import random

from mcast.net.copies import LIMIT, WINDOW, CopyFilter


def shown(*arrivals: tuple[str, int], interval: float = 0.0) -> list[str]:
    """The keys that were fresh, of (key, interface) arriving `interval` seconds apart."""
    copies = CopyFilter()
    return [
        key
        for number, (key, interface) in enumerate(arrivals)
        if copies.fresh(key, interface, number * interval)
    ]


def test_a_copy_through_another_interface_is_not_shown() -> None:
    assert shown(("a", 1), ("a", 2), ("a", 3), ("b", 3), ("b", 1)) == ["a", "b"]


def test_a_line_said_twice_is_shown_twice_whatever_the_order_of_its_copies() -> None:
    assert shown(("a", 1), ("a", 1), ("a", 2), ("a", 2)) == ["a", "a"]
    assert shown(("a", 1), ("a", 2), ("a", 1), ("a", 2)) == ["a", "a"]
    assert shown(("a", 2), ("a", 2), ("a", 1), ("a", 1), ("a", 1)) == ["a"] * 3


def test_what_one_interface_lost_comes_through_the_other() -> None:
    assert shown(("a", 1), ("a", 2), ("a", 1), ("a", 1), ("a", 2)) == ["a"] * 3


def test_after_the_window_an_equal_line_is_a_new_one() -> None:
    assert shown(("a", 1), ("a", 2), interval=WINDOW * 0.9) == ["a"]
    assert shown(("a", 1), ("a", 2), interval=WINDOW * 1.1) == ["a", "a"]


def test_every_line_is_shown_as_often_as_it_was_said_under_any_interleaving() -> None:
    rng = random.Random(5)
    for _ in range(200):
        said = [rng.choice("abc") for _ in range(20)]
        waiting = {interface: list(said) for interface in (1, 2, 3)}
        copies, fresh = CopyFilter(), []
        while any(waiting.values()):
            interface = rng.choice([i for i, left in waiting.items() if left])
            key = waiting[interface].pop(0)
            if copies.fresh(key, interface, 0.0):
                fresh.append(key)
        assert sorted(fresh) == sorted(said)


def test_a_flood_of_different_lines_does_not_fill_the_memory() -> None:
    copies = CopyFilter()
    for number in range(3 * LIMIT):
        assert copies.fresh(number, 1, 0.0)
    assert len(copies._order) <= LIMIT
    assert len(copies._by_key) <= LIMIT
    for _ in range(3 * LIMIT):
        assert copies.fresh("same", 1, 0.0)
    assert len(copies._by_key) == 1
    assert copies.fresh("other", 1, 10.0)
    assert list(copies._by_key) == ["other"]
