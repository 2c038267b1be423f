"""Passphrases, and the code by which two people compare their keys."""

from __future__ import annotations

from mcast.crypto.stretch import CODE_SIZE, comparison, lock, unlock

SALT = bytes(range(16))


def test_only_the_passphrase_opens_what_it_locked() -> None:
    locked = lock("correct horse battery", b"secret", SALT)
    assert b"secret" not in locked
    assert unlock("correct horse battery", locked) == b"secret"
    assert unlock("correct horse", locked) is None
    assert unlock("correct horse battery", locked[:-1] + bytes([locked[-1] ^ 1])) is None
    assert unlock("correct horse battery", b"") is None


def test_both_sides_see_one_code_and_others_see_another() -> None:
    ada, bob, eve = (bytes([number]) * 32 for number in (1, 2, 3))
    code = comparison(ada, bob)
    assert len(code) * 8 >= 80
    assert len(code) == CODE_SIZE
    assert comparison(bob, ada) == code
    assert comparison(ada, eve) != code
