"""mcast key: what it prints and where."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from mcast.cli import exits, keyring, main, words

PASSES = "five words that nobody guesses"

pytestmark = pytest.mark.usefixtures("home")


def _type(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_the_words_of_a_new_key_make_the_same_key_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["key", "new", "lab"]) == exits.DONE
    out, err = capsys.readouterr()
    assert len(out.split()) == 11
    fingerprint = err.splitlines()[0].rpartition(": ")[2]
    first = keyring.find("lab")
    keyring.remove("lab")

    _type(monkeypatch, out)
    assert main(["key", "add", "lab"]) == exits.DONE
    assert keyring.find("lab") == first
    assert f"its fingerprint is: {fingerprint}" in capsys.readouterr().err

    assert main(["key", "show", "lab"]) == exits.DONE
    assert capsys.readouterr().out == f"{fingerprint}\n"
    assert main(["key", "share", "lab"]) == exits.DONE
    assert capsys.readouterr().out == out
    assert main(["key", "list"]) == exits.DONE
    assert capsys.readouterr().out == "lab\n"
    assert main(["key", "remove", "lab"]) == exits.DONE
    assert keyring.rooms() == []


def test_a_qr_code_shows_the_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "new", "lab", "--qr"]) == exits.DONE
    out = capsys.readouterr().out.splitlines()
    assert len(out) > 10
    assert set("".join(out[1:])) <= set(" \u2580\u2584\u2588\x1b[0123456789;m")


def test_a_passphrase_makes_a_key_and_is_not_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _type(monkeypatch, PASSES + "\n")
    assert main(["key", "new", "lab", "--passphrase"]) == exits.DONE
    out, err = capsys.readouterr()
    assert PASSES not in out + err
    known = keyring.find("lab")
    assert known is not None
    assert known.secret == PASSES


@pytest.mark.parametrize(
    ("arguments", "typed", "code", "said"),
    [
        (["new"], "", exits.USAGE, "mcast key new needs the name of a room: for instance: mcast key new lab"),
        (
            ["share", "lab"],
            "",
            exits.NOTHING_FOUND,
            "there is no key for the room lab; make one with: mcast key new lab",
        ),
        (["add", "lab"], "acorn acorn\n", exits.USAGE, "these are 2 words, not 11"),
        (["add", "lab"], "", exits.USAGE, "these are 0 words, not 11"),
        (["add", "lab", "--passphrase"], "12345\n", exits.USAGE, "the passphrase has 5 characters"),
        (["new", "a\nb"], "", exits.USAGE, "cannot have a key"),
        (["make", "lab"], "", exits.USAGE, "'make'"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    typed: str,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _type(monkeypatch, typed)
    assert main(["key", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_the_last_word_is_a_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = words.encode(b"0123456789").split()
    _type(monkeypatch, " ".join(reversed(right)))
    assert main(["key", "add", "lab"]) == exits.USAGE
    assert "one of the words is wrong" in capsys.readouterr().err
    assert keyring.rooms() == []


def test_a_key_is_replaced_and_others_follow(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["key", "rotate", "lab"]) == exits.USAGE
    main(["key", "new", "lab"])
    first = keyring.find("lab")
    assert first is not None
    capsys.readouterr()
    assert main(["key", "rotate", "lab"]) == exits.DONE
    words_of_change, err = capsys.readouterr()
    assert len(words_of_change.split()) == 11
    assert "the old one for ten minutes more" in err
    changed = keyring.find("lab")
    assert main(["key", "share", "lab"]) == exits.DONE
    whole = capsys.readouterr().out
    assert len(whole.split()) == 27

    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "of-a-member"))
    keyring.save("lab", first.secret, None)
    _type(monkeypatch, words_of_change)
    assert main(["key", "add", "lab"]) == exits.DONE
    there = keyring.find("lab")
    assert there is not None
    assert changed is not None
    assert (there.material, there.former) == (changed.material, first.material.key)

    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "of-a-newcomer"))
    _type(monkeypatch, words_of_change)
    assert main(["key", "add", "lab"]) == exits.USAGE  # they do not tell which room it is
    _type(monkeypatch, whole)
    assert main(["key", "add", "lab"]) == exits.DONE
    there = keyring.find("lab")
    assert there is not None
    assert (there.material, there.former) == (changed.material, b"")
    capsys.readouterr()
    assert main(["key", "share", "lab"]) == exits.DONE
    assert capsys.readouterr().out == whole
