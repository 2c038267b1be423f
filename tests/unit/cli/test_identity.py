"""mcast identity: what it prints and where."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import pytest

from mcast.cli import exits, main
from mcast.cli.people import comparison_words, people_file, public_key
from mcast.cli.profiles import Profile
from mcast.crypto.keys import Identity
from mcast.store.people import People

PASSES = "five words that nobody guesses"
BOB, BOBBY = Identity(b"b" * 32), Identity(b"c" * 32)

pytestmark = pytest.mark.usefixtures("home")


def _type(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def _meet(*people: tuple[Identity, str]) -> People:
    known = People(people_file("default"))
    for identity, name in people:
        known.meet(identity.public_key, name, 1_800_000_000.0)
    known.save()
    return known


def test_an_identity_moves_to_another_computer(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(home / "me")
    assert main(["identity", "show"]) == exits.NOTHING_FOUND
    assert "there is no identity default yet" in capsys.readouterr().err
    assert main(["identity", "new"]) == exits.DONE
    out = capsys.readouterr().out
    assert main(["identity", "show"]) == exits.DONE
    assert capsys.readouterr().out == out
    seed = Profile().seed()
    assert Identity(seed).origin.hex()[:16] in out

    _type(monkeypatch, f"{PASSES}\n")
    assert main(["identity", "export", file]) == exits.DONE
    exported = capsys.readouterr()
    assert PASSES not in exported.out + exported.err
    assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600
    assert seed.hex() not in Path(file).read_text()

    Profile().file.unlink()
    _type(monkeypatch, "five words that somebody guesses\n")
    assert main(["identity", "import", file]) == exits.USAGE
    assert "the passphrase does not open" in capsys.readouterr().err
    _type(monkeypatch, f"{PASSES}\n")
    assert main(["identity", "import", file]) == exits.DONE
    assert capsys.readouterr().out == out
    assert Profile().seed() == seed


def test_an_identity_is_replaced_only_if_that_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = Profile().seed()
    assert main(["identity", "new"]) == exits.USAGE
    assert Profile().seed() == seed
    assert main(["identity", "export", str(home / "open"), "--no-passphrase"]) == exits.DONE
    capsys.readouterr()
    assert main(["identity", "new", "--replace"]) == exits.DONE
    assert Profile().seed() != seed
    aside = capsys.readouterr().err.partition("the identity of before is now ")[2].partition(";")[0]
    assert stat.S_IMODE(Path(aside).stat().st_mode) == 0o600
    assert main(["identity", "import", str(home / "open"), "--replace"]) == exits.DONE
    assert Profile().seed() == seed


def test_people_are_listed_and_verified(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Profile().seed()
    assert main(["identity", "list"]) == exits.NOTHING_FOUND
    people = _meet((BOB, "bob"), (BOBBY, "b\x1bob"))
    capsys.readouterr()
    words = comparison_words(public_key("default"), BOB.public_key)
    assert len(words.split()) == 8

    assert main(["identity", "verify", "bob"]) == exits.DONE
    assert capsys.readouterr().out == f"{words}\n"
    assert not people.is_verified(BOB.origin)
    assert main(["identity", "verify", "bob", "--yes", "--qr"]) == exits.DONE
    out, err = capsys.readouterr()
    assert len(out.splitlines()) > 10
    assert f"bob·{BOB.origin.hex()[:4]} is verified" in err

    assert main(["identity", "list"]) == exits.DONE
    out = capsys.readouterr().out
    assert f"bob·{BOB.origin.hex()[:4]}  verified on 20" in out
    assert "b\\x1bob" in out
    assert "\x1b" not in out
    assert main(["identity", "list", "--json"]) == exits.DONE
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert {first["id"], second["id"]} == {BOB.origin.hex()[:16], BOBBY.origin.hex()[:16]}
    assert ("verified" in first) + ("verified" in second) == 1

    assert main(["identity", "verify", BOB.origin.hex()[:8], "--undo"]) == exits.DONE
    people.save()
    assert not people.is_verified(BOB.origin)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify"], "mcast identity verify needs the name of a person"),
        (["export"], "mcast identity export needs a file"),
        (["show", "bob"], "mcast identity show takes no name"),
        (["verify", "cyd"], "you have met nobody called 'cyd'"),
        (["verify", "bob"], "'bob' can be bob·"),
        (["import", "nothing-here"], "cannot read nothing-here (No such file"),
        (["import", "/etc/hostname", "--replace"], "does not contain an identity"),
        (["export", "x"], "the passphrase has 5 characters"),
        (["export", "/nowhere/x", "--no-passphrase"], "cannot write /nowhere/x"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Profile().seed()
    _meet((BOB, "bob"), (BOBBY, "bob"))
    _type(monkeypatch, "short\n")
    assert main(["identity", *arguments]) in (exits.USAGE, exits.FAILED)
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_a_damaged_export_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "bad").write_bytes(b"mcast-identity locked 1 zz\n")
    _type(monkeypatch, f"{PASSES}\n")
    assert main(["identity", "import", str(home / "bad")]) == exits.USAGE
    assert "does not open" in capsys.readouterr().err
