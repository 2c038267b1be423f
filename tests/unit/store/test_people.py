"""The people that were met, and who can be taken for whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcast.store import people as module
from mcast.store.people import People

ADA, BOB, EVE = (bytes([number]) * 32 for number in (1, 2, 3))


@pytest.fixture
def people(tmp_path: Path) -> People:
    return People(tmp_path / "people.db")


def test_who_was_met_is_remembered_with_the_whole_key(people: People, tmp_path: Path) -> None:
    people.meet(BOB, "bob", 100.0)
    people.meet(ADA, "ada", 101.0)
    people.save()
    people.meet(BOB, "robert", 200.0)
    people.save()
    people.close()
    again = People(tmp_path / "people.db")
    found = [(person.key, person.name, person.first, person.last, person.verified) for person in again.all()]
    assert found == [(BOB, "robert", 100.0, 200.0, None), (ADA, "ada", 101.0, 101.0, None)]
    assert (tmp_path / "people.db").stat().st_mode & 0o777 == 0o600


def test_thirty_people_called_student_are_no_reason_to_warn(people: People) -> None:
    for number in range(30):
        key = bytes([number]) * 32
        assert people.like(key, "student") is None
        people.meet(key, "student", 100.0)
    people.save()
    assert len(people.all()) == 30


def test_a_name_like_that_of_somebody_who_was_verified_is_one(people: People) -> None:
    people.verify(BOB, "bob", 100.0)
    assert people.is_verified(people.all()[0].origin)
    for name in ("bob", "Bob", "b\u043eb", "\uff42\uff4f\uff42", "b0b", "bob\u200b", "b o b"):
        like = people.like(EVE, name)
        assert like is not None, name
        assert like.key == BOB
    assert people.like(EVE, "rob") is None
    assert people.like(BOB, "b0b") is None  # it is him
    people.meet(BOB, "robert", 200.0)
    people.save()
    assert people.like(EVE, "robert") is not None
    assert people.like(EVE, "bob") is not None
    people.verify(EVE, "bob", 300.0)
    assert people.like(EVE, "bob") is None  # verified means this key
    people.doubt(BOB)
    people.doubt(EVE)
    assert people.like(EVE, "bob") is None


def test_another_program_of_the_user_learns_who_was_verified(people: People, tmp_path: Path) -> None:
    other = People(tmp_path / "people.db")
    other.verify(BOB, "bob", 100.0)
    assert people.like(EVE, "bob") is not None


def test_a_crowd_pushes_out_strangers_only(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 5)
    monkeypatch.setattr(module, "UNSAVED", 8)
    people.verify(BOB, "bob", 1.0)
    for number in range(20):
        people.meet(bytes([100 + number]) * 32, "crowd", 100.0 + number)
    people.save()
    known = [person.key for person in people.all()]
    assert known == [bytes([100 + number]) * 32 for number in (19, 18, 17, 16)] + [BOB]
