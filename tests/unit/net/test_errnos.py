"""Errors of the system in words."""

from __future__ import annotations

import errno

import pytest

from mcast.errors import PermissionRefused, PortTaken, SocketError
from mcast.net.errnos import _MEANINGS, explain, explained


@pytest.mark.parametrize("number", sorted(_MEANINGS))
def test_every_known_error_says_what_it_means_and_what_to_do(number: int) -> None:
    error = explain(OSError(number, "raw words"), "cannot try")
    assert error.message.startswith("cannot try: ")
    assert error.remedy
    assert "raw words" not in str(error)
    assert error.errno == number
    assert isinstance(error, OSError)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EADDRINUSE, PortTaken),
        (errno.EACCES, PermissionRefused),
        (errno.EPERM, PermissionRefused),
        (errno.ENODEV, SocketError),
    ],
)
def test_errors_that_a_program_acts_on_have_a_kind(number: int, kind: type[SocketError]) -> None:
    assert type(explain(OSError(number, ""), "x")) is kind


def test_an_unknown_error_keeps_its_own_words() -> None:
    assert str(explain(OSError(errno.EXDEV, "strange"), "cannot try")) == "cannot try: strange"
    assert str(explain(OSError("no number"), "cannot try")) == "cannot try: no number"


def test_explained_translates_once() -> None:
    with pytest.raises(PortTaken, match="inner") as caught, explained("outer"), explained("inner"):
        raise OSError(errno.EADDRINUSE, "")
    assert "outer" not in str(caught.value)
    with pytest.raises(ValueError, match="not ours"), explained("x"):
        raise ValueError("not ours")
