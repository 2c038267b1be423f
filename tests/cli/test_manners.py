"""How commands behave in scripts: in pipes whose reader is gone, without standard output, and at SIGTERM."""

from __future__ import annotations

import sys

from tests import lab

Pair = tuple[lab.Host, lab.Host]
MCAST = f"{sys.executable} -m mcast"
WATCHES = ("listen --json --events", "announce", "browse", "reply --echo", "browse --json")
ENDING = {
    "interfaces": 0,
    "send x": 0,
    "browse -t": 0,
    "ask up?": 0,
    "listen --room x -W 0.1": 4,
    "listen --room x -C 1 -W 0.1": 27,
}


def test_a_reader_that_is_gone_ends_a_watch_and_nothing_else_goes_wrong(here: lab.Host, group: str) -> None:
    """Under pipefail, too: 0 is what a pipe ends with whose reader has had enough."""
    ends = {f"{watch} -g {group}": 0 for watch in WATCHES}
    script = "\n".join(
        f"(set -euo pipefail; {MCAST} {command} | true) & codes[{number}]=$!"
        for number, command in enumerate(ends)
    )
    waiting = "\n".join(f"wait ${{codes[{number}]}}; echo $?" for number in range(len(ends)))
    shell = here.spawn(["bash", "-c", f"{script}\n{waiting}"])
    assert shell.wait(90) == 0
    assert shell.stdout == "0\n" * len(ends), shell.stderr
    assert "Traceback" not in shell.stderr
    assert "internal error" not in shell.stderr


def test_without_standard_output_and_at_sigterm(pair: Pair, group: str) -> None:
    watching = [
        pair[0].spawn(["bash", "-c", f"exec {MCAST} {watch} -g {group} --profile p{number} >&-"])
        for number, watch in enumerate(WATCHES)
    ]
    for process in watching:
        process.wait_for(" on eth0", stream="stderr")
    ending = {
        command: pair[1].spawn(["bash", "-c", f"exec {MCAST} {command} {where} >&-"])
        for command in ENDING
        for where in (f"-g {group}" if command != "interfaces" else "",)
    }
    assert {command: process.wait(60) for command, process in ending.items()} == ENDING
    assert [process.terminate() for process in watching] == [0] * len(watching)
    for process in (*watching, *ending.values()):
        assert "Traceback" not in process.stderr
        assert "internal error" not in process.stderr
