"""Secrets and fingerprints as words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcast.cli import words
from mcast.errors import UsageError


def test_the_words_can_be_told_apart_by_four_letters() -> None:
    assert len(words.WORDS) == 256 == len({word[:4] for word in words.WORDS})
    assert all(re.fullmatch("[a-z]{3,8}", word) for word in words.WORDS)


@given(st.binary(min_size=1, max_size=16))
def test_what_is_encoded_comes_back(data: bytes) -> None:
    text = words.encode(data)
    assert len(text.split()) == len(data) + 1
    assert words.decode(text, len(data)) == data
    assert words.decode("-".join(word[:4].upper() for word in text.split()), len(data)) == data


def test_a_mistake_is_noticed() -> None:
    first, *rest = words.encode(b"0123456789").split()
    with pytest.raises(UsageError, match="'appel' is not one of the words"):
        words.decode(" ".join(["appel", *rest]), 10)
    with pytest.raises(UsageError, match="10 words, not 11"):
        words.decode(" ".join(rest), 10)
    other = next(word for word in words.WORDS if word != first)
    with pytest.raises(UsageError, match="one of the words is wrong, or their order"):
        words.decode(" ".join([other, *rest]), 10)


def test_a_fingerprint_says_nothing_about_what_it_is_of() -> None:
    shown = words.fingerprint(b"\0" * 32, 4)
    assert len(shown.split()) == 4
    assert shown != words.fingerprint(b"\1" * 32, 4)
    assert shown.split() != [words.WORDS[0]] * 4


def test_a_code_has_a_word_for_each_eleven_bits() -> None:
    assert words.code(bytes(11)) == " ".join(["abandon"] * 8)
    assert words.code(b"\xff" * 11) == " ".join(["zoo"] * 8)
    assert words.code(bytes([0, 0b00100000, *bytes(9)])).split()[:2] == ["ability", "abandon"]


def test_the_words_of_a_key_are_known_though_one_is_wrong() -> None:
    assert words.known(words.encode(bytes(10)) + " wrong") == 11
    assert words.known("correct horse battery staple and some more") < 3
