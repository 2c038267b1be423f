"""Whatever the console, the locale and the streams: the text arrives, JSON stays JSON, no traceback."""

from __future__ import annotations

import json
import sys

import pytest

from tests import lab

Pair = tuple[lab.Host, lab.Host]
TEXT = "汉字 😀 é"
NO_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def heard(pair: Pair, group: str, *arguments: str, env: dict[str, str]) -> bytes:
    process = pair[0].mcast("listen", "--plain", "-g", group, "-C", "1", *arguments, env=env)
    process.wait_for("listening to", stream="stderr")
    assert pair[1].mcast("send", "--plain", "-g", group, TEXT).wait() == 0
    assert process.wait() == 0
    assert process.stderr.count("\n") == 1
    return process.stdout_bytes


@pytest.mark.parametrize(
    ("env", "printed"),
    [
        ({"PYTHONIOENCODING": "gbk"}, "汉字 \\U0001f600 é".encode("gbk")),
        ({"PYTHONIOENCODING": "ascii"}, b"\\u6c49\\u5b57 \\U0001f600 \\xe9"),
        (NO_LOCALE, TEXT.encode()),
    ],
)
def test_text_and_json(pair: Pair, group: str, env: dict[str, str], printed: bytes) -> None:
    assert heard(pair, group, env=env) == printed + b"\n"
    line = heard(pair, group, "--json", env=env)
    assert json.loads(line)["text"] == TEXT
    assert line.isascii() or env is NO_LOCALE


def test_without_a_home(here: lab.Host, group: str) -> None:
    names = [f"--unset={name}" for name in here.environment() if name == "HOME" or name.startswith("XDG_")]
    process = here.spawn(
        ["env", *names, sys.executable, "-m", "mcast", "listen", "--plain", "-g", group, "-W", "0.1"]
    )
    assert process.wait() == 4
    assert process.stderr.splitlines() == [
        f"mcast: listening to {group} on eth0 (default route)",
        "mcast: no message arrived in 100ms",
    ]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(pair: Pair, group: str, closed: str) -> None:
    mcast = f"{sys.executable} -m mcast"
    script = f"{mcast} listen --plain -g {group} -C 1 --on message='touch heard' {closed}; echo $? > code"
    home = str(pair[0].home)
    process = pair[0].spawn(["bash", "-c", f"rm -f heard; {script}"], cwd=home)
    # It may have no way to say that it is ready: the kernel knows.
    sender = pair[1].spawn(
        ["bash", "-c", f"for i in $(seq 60); do {mcast} send --plain -g {group} x; sleep 0.3; done"]
    )
    assert process.wait(30.0) == 0
    sender.close()
    assert (pair[0].home / "code").read_text() == "0\n"
    assert (pair[0].home / "heard").exists()
    assert "Traceback" not in process.stderr
    assert process.stdout in ("", "x\n")


@pytest.mark.parametrize(
    ("where", "code", "says"),
    [
        ("> /dev/full", 1, "device: free some disk space"),
        (">&-", 0, None),
        ("| true", 0, None),
    ],
)
@pytest.mark.parametrize("arguments", ["interfaces", "--help"])
def test_output_that_goes_nowhere(
    here: lab.Host, arguments: str, where: str, code: int, says: str | None
) -> None:
    line = f"set -o pipefail; {sys.executable} -m mcast {arguments} {where}"
    process = here.spawn(["bash", "-c", line])
    assert process.wait() == code
    assert (says or "") in process.stderr
    assert process.stderr.count("\n") == (1 if says else 0)
