"""Who may come in by the web door, and what is kept there."""

from __future__ import annotations

import pytest

from mcast.gateway import web
from mcast.gateway.web import GUESSES, TRIES, TRY_SECONDS, Door, Files


def test_the_secret_opens_and_nothing_else_does() -> None:
    door = Door(everybody=False)
    assert door.opens(door.secret, None, "10.9.0.2", 0.0) == ""
    for key in (None, "", "x", door.secret + "x", 7, ["x"], "\ud800"):
        assert door.opens(key, None, "10.9.0.2", 0.0) == "Type the PIN that the gateway shows."
    assert Door(everybody=True).opens(None, None, "10.9.0.2", 0.0) == ""


def test_guesses_at_the_pin_have_limits() -> None:
    door = Door(everybody=False)
    wrong = "x" + door.pin
    for at in range(TRIES):
        assert door.opens(None, wrong, "10.9.0.2", float(at)) == "That is not the PIN."
    assert "Try again" in door.opens(None, door.pin, "10.9.0.2", TRIES + 1.0)
    assert door.opens(None, door.pin, "10.9.0.3", TRIES + 1.0) == ""
    assert door.opens(None, f" {door.pin} ", "10.9.0.2", TRIES + TRY_SECONDS) == ""


def test_guesses_from_everywhere_have_a_limit_together() -> None:
    door = Door(everybody=False)
    answers = [door.opens(None, {"pin": 1}, f"10.9.1.{number}", 0.0) for number in range(2 * GUESSES)]
    assert answers.count("That is not the PIN.") == GUESSES
    assert door.opens(door.secret, None, "10.9.0.2", 0.0) == ""


def test_the_oldest_files_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "FILES", 100)
    files = Files()
    keys = []
    for number in range(3):
        key, path = files.new()
        path.write_bytes(bytes(40))
        files.add(key, f"file {number}", 40)
        keys.append((key, path))
    assert files.find(keys[0][0]) is None
    assert not keys[0][1].exists()
    assert files.find(keys[2][0]) == ("file 2", keys[2][1])
    files.remove()
    assert not keys[2][1].parent.exists()


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\folder\\note.txt", "note.txt"),
        ("..", "file"),
        ("", "file"),
        ("a\r\nX: y\u202e.txt", "aX: y.txt"),
        ("x" * 300, "x" * 100),
        ("图片.png", "图片.png"),
    ],
)
def test_names_of_files_lead_nowhere(sent: str, name: str) -> None:
    assert web._file_name(sent) == name


def test_the_door_is_there_by_its_short_name() -> None:
    from mcast import gateway

    assert gateway.Web is web.Web
    assert not hasattr(gateway, "Window")
