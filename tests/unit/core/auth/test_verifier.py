"""The budget for signature checks, and what is remembered of what was checked."""

from __future__ import annotations

import pytest

from mcast import simulation
from mcast.core.auth.verifier import GENUINE, VerificationBudget
from mcast.wire.frames import Goodbye
from tests.unit.core.support import Outsider


def test_strangers_cannot_use_up_the_known_ones_budget() -> None:
    budget = VerificationBudget(1000, now=0.0)
    assert sum(budget.allow(b"%d" % n, False, 0.0) for n in range(5000)) == 300
    assert sum(budget.allow(b"victim", True, 0.0) for _ in range(5000)) == 350
    assert sum(budget.allow(b"other", True, 0.0) for _ in range(5000)) == 350


def test_a_genuine_signature_of_a_known_origin_costs_a_quarter() -> None:
    budget = VerificationBudget(1000, now=0.0)
    genuine = 0
    while budget.allow(b"fast", True, 0.0, GENUINE):
        genuine += 1
    assert genuine == pytest.approx(1400, abs=5)
    budget.forged(b"stranger", False, 0.0)
    assert sum(budget.allow(b"stranger", False, 0.0, GENUINE) for _ in range(1000)) == 300


def test_a_forged_signature_of_a_known_origin_costs_its_whole_price() -> None:
    budget = VerificationBudget(1000, now=0.0)
    forged = 0
    while budget.allow(b"victim", True, 0.0, GENUINE):
        budget.forged(b"victim", True, 0.0)
        forged += 1
    assert forged == 350
    assert sum(budget.allow(b"other", True, 0.0) for _ in range(5000)) == 350


@pytest.mark.parametrize("known", [True, False])
def test_what_can_wait_leaves_half_of_the_budget_to_the_rest(known: bool) -> None:
    budget = VerificationBudget(1000, 0.0)
    origins = [b"a", b"b", b"c"]
    waited = sum(budget.allow(origin, known, 0.0, can_wait=True) for _ in range(1000) for origin in origins)
    rest = sum(budget.allow(origin, known, 0.0) for _ in range(1000) for origin in origins)
    assert abs(waited - rest) <= 2
    assert waited + rest == (700 if known else 300)


def test_what_authors_say_to_have_published_is_remembered_of_some(monkeypatch: pytest.MonkeyPatch) -> None:
    net = simulation.Lan(seed=1)
    verifier = net.join("ada").engine._verifier
    authors = [Outsider(net, seed) for seed in (5, 6)]
    for author in authors:
        author.say(author.own_key)
        author.say(author.sign(Goodbye(*author.peer_id, author.count(), 7)))
        author.say(author.sign(Goodbye(*author.peer_id, author.count(), 3)))
        author.say(Goodbye(*author.peer_id, author.count(), 9, bytes(64)))
    assert [verifier.published(author.peer_id) for author in authors] == [7, 7]
    monkeypatch.setattr(verifier, "_limit", 1)
    authors[0].say(authors[0].sign(Goodbye(*authors[0].peer_id, authors[0].count(), 8)))
    assert [verifier.published(author.peer_id) for author in authors] == [0, 7]
