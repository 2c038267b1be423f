"""Profiles on a real disk: one seed for ever, no incarnation twice, and no surprise when the disk says no."""

from __future__ import annotations

import errno
import getpass
import itertools
import math
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import platformdirs
import pytest

from mcast.cli import profiles
from mcast.cli.profiles import MAX_INCARNATION, Profile, config_directory, default_name
from mcast.core.auth.verifier import issued
from mcast.core.incarnation import INCARNATION_STEP
from mcast.errors import McastError, UsageError

NOW = 1_800_000_000.5
AT_NOW = 1_800_000_000 << 16
PATIENCE = 100.0  # who comes last may wait long for a slow disk: locks have no queue
GO = "import sys; from pathlib import Path; from mcast.cli import profiles; sys.stdin.readline(); "
PATIENT = f"profiles._LOCK_PATIENCE = {PATIENCE}; "
HERE = GO + PATIENT + "profile = profiles.Profile(directory=Path(sys.argv[1])); "


def run_at_once(program: str, count: int, *arguments: str) -> list[str]:
    """What `count` processes print that all begin when the last of them is there."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=110)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * count
    return outputs


def test_seed_is_made_once_and_kept(tmp_path: Path) -> None:
    seed = Profile(directory=tmp_path).seed()
    assert len(seed) == 32
    assert any(seed)
    assert Profile(directory=tmp_path).seed() == seed


def test_profiles_are_different_people_whatever_their_case(tmp_path: Path) -> None:
    assert Profile("ada", tmp_path).seed() != Profile("bob", tmp_path).seed()
    assert Profile("Ada", tmp_path).seed() == Profile("ada", tmp_path).seed()


def test_first_runs_at_once_agree_on_one_seed(tmp_path: Path) -> None:
    for attempt in range(3):
        seeds = run_at_once(HERE + "print(profile.seed().hex())", 5, str(tmp_path / str(attempt)))
        assert len(set(seeds)) == 1
        assert len(seeds[0]) == 65


def test_threads_agree_on_one_seed_and_share_no_incarnation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "_LOCK_PATIENCE", PATIENCE)
    seeds: list[bytes] = []
    incarnations: list[int] = []
    start = threading.Barrier(6)

    def work() -> None:
        profile = Profile(directory=tmp_path / "new")
        start.wait(30)
        seeds.append(profile.seed())
        incarnations.extend(profile.next_incarnation(NOW, 0) for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(110)
    assert len(seeds) == 6
    assert len(set(seeds)) == 1
    assert sorted(incarnations) == list(range(AT_NOW, AT_NOW + 60 * INCARNATION_STEP, INCARNATION_STEP))


def test_processes_share_no_incarnation(tmp_path: Path) -> None:
    program = HERE + "print(*[profile.next_incarnation(1.8e9, 0) for _ in range(20)])"
    incarnations = [int(word) for text in run_at_once(program, 5, str(tmp_path)) for word in text.split()]
    assert sorted(incarnations) == list(range(AT_NOW, AT_NOW + 100 * INCARNATION_STEP, INCARNATION_STEP))


def test_only_the_user_can_read(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        profile = Profile(directory=tmp_path / "a" / "b")
        profile.seed()
        profile.next_incarnation(NOW, 0)
    finally:
        os.umask(old)
    files = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "a" / "b").iterdir()}
    assert files == {"seed-default": 0o600, "incarnation-default": 0o600}
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_seed_open_to_others_is_closed_when_read(tmp_path: Path) -> None:
    Profile(directory=tmp_path).seed()
    file = tmp_path / "seed-default"
    file.chmod(0o644)
    Profile(directory=tmp_path).seed()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_seed_outlives_a_killed_writer(tmp_path: Path) -> None:
    (tmp_path / "seed-default.new").write_text("mcast-ident")
    seed = Profile(directory=tmp_path).seed()
    assert Profile(directory=tmp_path).seed() == seed
    assert not (tmp_path / "seed-default.new").exists()


def test_a_damaged_seed_is_an_error_and_stays_as_it_is(tmp_path: Path) -> None:
    Profile(directory=tmp_path).seed()
    file = tmp_path / "seed-default"
    good = file.read_bytes()
    flipped = bytearray(good)
    flipped[20] ^= 1
    for bad in (b"", good[:-10], good + b"x", bytes(flipped), os.urandom(32), b"\0" * 83, b"x" * 100_000):
        file.write_bytes(bad)
        with pytest.raises(McastError, match="damaged") as caught:
            Profile(directory=tmp_path).seed()
        assert "backup" in caught.value.remedy
        assert file.read_bytes() == bad
    file.write_bytes(good)
    assert Profile(directory=tmp_path).seed()


def test_no_error_shows_the_seed(tmp_path: Path) -> None:
    profile = Profile(directory=tmp_path)
    seed = profile.seed().hex()
    file = tmp_path / "seed-default"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(McastError) as caught:
        profile.seed()
    assert seed[:16] not in str(caught.value) + repr(profile)


def test_a_link_to_nowhere_is_not_replaced(tmp_path: Path) -> None:
    link = tmp_path / "seed-default"
    link.symlink_to(tmp_path / "not mounted" / "seed")
    with pytest.raises(McastError, match="cannot use the profile"):
        Profile(directory=tmp_path).seed()
    assert link.is_symlink()


def test_incarnation_is_the_clock_and_entropy(tmp_path: Path) -> None:
    profile = Profile(directory=tmp_path)
    assert profile.next_incarnation(NOW, 0x5ABCD) == AT_NOW | 0xABCD


def test_incarnation_only_rises(tmp_path: Path) -> None:
    clocks = (NOW, NOW, NOW - 86400, 0.0, -1.0, math.nan, math.inf, 1e300, 2.0**47, NOW + 1, 12.0)
    profile = Profile(directory=tmp_path)
    incarnations = [profile.next_incarnation(clock, 7) for clock in clocks]
    assert all(one < other for one, other in itertools.pairwise(incarnations))
    assert incarnations[-1] == ((1_800_000_001 << 16) | 7) + INCARNATION_STEP
    assert Profile(directory=tmp_path).next_incarnation(NOW, 7) == incarnations[-1] + INCARNATION_STEP


def test_no_two_peers_of_a_second_have_one_incarnation(tmp_path: Path) -> None:
    profile = Profile(directory=tmp_path)
    incarnations = [profile.next_incarnation(NOW, entropy) for entropy in (0xFFFF, 7, 0x8000, 0)]
    assert len({issued(incarnation) for incarnation in incarnations}) == len(incarnations)


@pytest.mark.parametrize(
    "content", [b"", b"12", b"x" * 20, b"-000000000000000001\n", b"9" * 100, b"\xff" * 20]
)
def test_a_damaged_incarnation_goes_on_from_the_clock(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "incarnation-default").write_bytes(content)
    assert Profile(directory=tmp_path).next_incarnation(NOW, 3) == AT_NOW + 3
    assert Profile(directory=tmp_path).next_incarnation(NOW, 3) == AT_NOW + 3 + INCARNATION_STEP


def test_the_last_epoch_of_all(tmp_path: Path) -> None:
    file = tmp_path / "incarnation-default"
    file.write_text(f"{MAX_INCARNATION - INCARNATION_STEP:019d}\n")
    assert Profile(directory=tmp_path).next_incarnation(NOW, 0) == MAX_INCARNATION
    with pytest.raises(McastError, match="remove that file"):
        Profile(directory=tmp_path).next_incarnation(NOW, 0)
    assert file.read_text() == f"{MAX_INCARNATION}\n"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", "a b", "a.b", "ä", "x" * 65, "a\n", "\0"]
)
def test_names_that_are_paths_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is not a valid name of a profile"):
        Profile(name)


def test_nothing_is_written_before_it_is_asked_for(tmp_path: Path) -> None:
    Profile(directory=tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    profile = Profile(directory=tmp_path / "file" / "deeper")
    for use in (profile.seed, lambda: profile.next_incarnation(NOW, 0)):
        with pytest.raises(McastError, match="cannot use the profile in"):
            use()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some disk space"),
        (errno.EROFS, "make it readable and writable"),
        (errno.EDQUOT, "free some disk space"),
    ],
)
def test_a_disk_that_refuses_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    profile = Profile(directory=tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    for use in (profile.seed, lambda: profile.next_incarnation(NOW, 0)):
        with pytest.raises(McastError, match=remedy):
            use()
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["incarnation-default"]
    assert len(profile.seed()) == 32


def test_a_short_write_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", lambda file, data: 3)
    with pytest.raises(McastError, match="free some disk space"):
        Profile(directory=tmp_path).next_incarnation(NOW, 0)


def test_a_lock_that_is_never_released_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "_LOCK_PATIENCE", 0.05)
    with (
        profiles._locked(tmp_path / "incarnation-default"),
        pytest.raises(McastError, match="is locked by another program"),
    ):
        Profile(directory=tmp_path).next_incarnation(NOW, 0)
    assert Profile(directory=tmp_path).next_incarnation(NOW, 0) == AT_NOW


def test_the_places_follow_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    profile = Profile("work")
    profile.seed()
    profile.next_incarnation(NOW, 0)
    assert config_directory() == tmp_path / "config" / "mcast"
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["config/mcast/profiles/seed-work", "state/mcast/profiles/incarnation-work"]


def test_a_user_without_a_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platformdirs, "user_config_path", lambda *_, **__: Path("~/.config/mcast"))
    with pytest.raises(McastError, match="set HOME or XDG_CONFIG_HOME"):
        Profile()


def test_a_platformdirs_that_raises_is_told_as_one_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*_: object, **__: object) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(platformdirs, "user_state_path", raises)
    with pytest.raises(McastError, match="no home directory: set HOME or XDG_STATE_HOME"):
        Profile()


@pytest.mark.parametrize("name", ["seed-default", "incarnation-default", "computer-default"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    profile = Profile(directory=tmp_path)
    with pytest.raises(McastError, match="not a regular file"):
        _ = profile.seed(), profile.next_incarnation(NOW, 0), profile.shared(b"one")


def test_a_second_computer_is_told_once_and_remembered(tmp_path: Path) -> None:
    profile = Profile(directory=tmp_path)
    assert profile.shared(b"") == (False, False)
    assert profile.shared(b"one") == (False, False)
    assert profile.shared(b"") == (False, False)
    assert profile.shared(b"one") == (False, False)
    assert profile.shared(b"two") == (True, True)
    for computer in (b"two", b"one", b"", b"three"):
        assert profile.shared(computer) == (True, False)
    assert Profile("other", tmp_path).shared(b"two") == (False, False)


def users(names: Sequence[str | Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system answer with these for the user and the host."""

    def answer(value: str | Exception) -> str:
        if isinstance(value, Exception):
            raise value
        return value

    monkeypatch.setattr(getpass, "getuser", lambda: answer(names[0]))
    monkeypatch.setattr(socket, "gethostname", lambda: answer(names[1]))


@pytest.mark.parametrize(
    ("user", "host", "expected"),
    [
        ("ada", "engine", "ada"),
        (" ada\tlovelace\n", "engine", "ada lovelace"),
        (KeyError("uid"), "engine", "engine"),
        (OSError("no user"), "engine", "engine"),
        ("\x1b[2J\u202e\u3164", "engine", "[2J"),
        ("\udcff\x07", "engine", "engine"),
        ("", "", "someone"),
        ("x" * 100, "", "x" * 64),
        ("é" * 60, "", "é" * 32),
        ("x" + "é" * 60, "", "x" + "é" * 31),
        ("e\u0301", "", "é"),
    ],
)
def test_default_name(
    user: str | Exception, host: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    users((user, host), monkeypatch)
    assert default_name() == expected
