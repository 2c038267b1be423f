"""What others on the network see of sealed files: neither their contents nor their names."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from tests import lab
from tests.lan.files import get, inbox, tree, wait_share

TITLE, NAME, CONTENT = (
    "plans-of-the-vault",
    "the-combination.txt",
    "it is in the cellar, behind the barrels; ",
)


@pytest.mark.parametrize("way", ["open", "keyed", "private"])
def test_a_capture_shows_neither_contents_nor_names(lan: lab.MakeLan, tmp_path: Path, way: str) -> None:
    """By multicast to two, then by unicast to one that was killed and goes on: in a room with a key, and to
    two peers of an open room. What is for all in an open room is seen, so it would be seen here, too."""
    h1, h2, h3 = lan(3).hosts
    folder = tmp_path / TITLE
    folder.mkdir()
    (folder / NAME).write_text(CONTENT * 100_000)
    secret = ""
    if way == "keyed":
        secret = str(tmp_path.parent / "secret.key")
        Path(secret).write_text("5a" * 32)
        Path(secret).chmod(0o600)
    options = ["--key-file", secret] if secret else []
    to = ["--to", "h2", "--to", "h3"] if way == "private" else ["--wait-acks", "2"]
    program = [sys.executable, "-m", "tests.lan.programs.capture", "eth0", TITLE, NAME, CONTENT]
    capture = h1.spawn(program)
    capture.wait_for("ready", stream="stdout")
    h1.rate("20mbit")
    first, second = get(h2, *options), get(h3, "--json", *options)
    dropping = h1.mcast("drop", str(folder), *to, "-W", "90s", *options)
    wait_share(second, 0.2)
    second.signal(signal.SIGKILL)
    second.wait()
    assert first.wait(60) == 0, first.shown()
    again = get(h3, *options)
    assert again.wait(60) == 0, again.shown()
    assert dropping.wait(60) == 0, dropping.shown()
    assert inbox(h2) == inbox(h3) == tree(tmp_path)
    capture.close_stdin()
    assert capture.wait() == 0
    seen = json.loads(capture.stdout.splitlines()[-1])
    assert seen["frames"] > 100
    assert seen["found"] == (sorted([TITLE, NAME, CONTENT]) if way == "open" else [])
