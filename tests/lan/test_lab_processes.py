"""Processes on a host: captured or on a terminal, signalled, waited for, and never waited for in vain."""

from __future__ import annotations

import json
import re
import signal
import sys
import time

import pytest

from tests import lab

ECHO = """
    import sys
    print("up", file=sys.stderr)
    for line in sys.stdin:
        print("got", line.strip(), flush=True)
"""


@pytest.fixture
def host(lan: lab.MakeLan) -> lab.Host:
    return lan(1).hosts[0]


def test_run_gives_output_errors_and_code(host: lab.Host) -> None:
    done = host.run(["sh", "-c", "cat; echo oops >&2; exit 3"], input="a\nb\n")
    assert (done.returncode, done.stdout, done.stderr) == (3, "a\nb\n", "oops\n")


def test_run_can_demand_success(host: lab.Host) -> None:
    with pytest.raises(lab.LabError, match="on h1 returned 1: no"):
        host.run(["sh", "-c", "echo no >&2; exit 1"], check=True)


def test_more_input_and_output_than_a_pipe_holds(host: lab.Host) -> None:
    text = "x" * 99 + "\n"
    assert host.run(["cat"], input=text * 20_000).stdout == text * 20_000


def test_a_conversation(host: lab.Host) -> None:
    with host.python(ECHO) as echo:
        echo.wait_for("up", stream="stderr")
        echo.write("one\n")
        assert echo.wait_for(re.compile("got (.*)\n"))[1] == "one"
        echo.write("two\nthree\n")
        assert echo.wait_lines(3) == ["got one", "got two", "got three"]
        assert echo.poll() is None
        echo.close_stdin()
        assert echo.wait() == 0
    assert echo.stderr == "up\n"


def test_bytes_are_kept_and_lines_of_json_are_parsed(host: lab.Host) -> None:
    written = host.run(["printf", r'{"a": 1}\n[2]\nunfinished'])
    assert written.stdout == '{"a": 1}\n[2]\nunfinished'
    with host.spawn(["printf", r'{"a": 1}\n[2]\n\377']) as process:
        process.wait()
        assert process.objects() == [{"a": 1}, [2]]
        assert process.stdout_bytes.endswith(b"\xff")
        assert process.stdout.endswith("\\xff")


def test_what_does_not_come_is_a_failure_that_shows_what_came(host: lab.Host) -> None:
    with host.spawn(["sh", "-c", "echo here; exec sleep 60"]) as process:
        process.wait_for("here")
        with pytest.raises(lab.LabTimeout, match=r"'never' in stdout(.|\n)*0\.3 s passed(.|\n)*here"):
            process.wait_for("never", 0.3, stream="stdout")
        with pytest.raises(lab.LabTimeout, match="still running after"):
            process.wait(0.1)
    with pytest.raises(lab.LabTimeout, match=f"ended with {-signal.SIGKILL}"):
        process.wait_for("never")


def test_signals_reach_the_process_and_its_children(host: lab.Host) -> None:
    trap = host.spawn(["sh", "-c", "trap 'echo caught; exit 7' TERM; echo set; while :; do sleep 0.05; done"])
    trap.wait_for("set")
    assert trap.terminate() == 7
    assert trap.lines()[-1] == "caught"
    parent = host.spawn(["sh", "-c", "sleep 60 & echo $!; wait"])
    child = parent.wait_lines(1)[0]
    parent.signal(signal.SIGKILL, group=True)
    assert parent.wait() == -signal.SIGKILL
    limit = time.monotonic() + 5.0  # it dies, and is waited for, by itself
    while host.run(["kill", "-0", child]).returncode == 0:
        assert time.monotonic() < limit
    parent.signal(signal.SIGTERM)


def test_a_stopped_process_goes_on_when_told(host: lab.Host) -> None:
    with host.python(ECHO) as echo:
        echo.wait_for("up")
        echo.signal(signal.SIGSTOP)
        echo.write("late\n")
        with pytest.raises(lab.LabTimeout):
            echo.wait_for("got", 0.2)
        echo.signal(signal.SIGCONT)
        echo.wait_for("got late")


def test_a_program_that_is_not_there(host: lab.Host) -> None:
    with pytest.raises(FileNotFoundError, match="/no/such/program"):
        host.run(["/no/such/program"])


def test_the_processor_time_of_a_process_is_known(host: lab.Host) -> None:
    busy = host.python("import time\nwhile time.process_time() < 0.2: pass")
    assert busy.wait() == 0
    assert busy.cpu_seconds >= 0.2


def test_every_host_has_a_home_and_no_settings_of_the_user(
    lan: lab.MakeLan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCAST_KEY", "secret")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/elsewhere")
    h1, h2 = lan(2).hosts
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    env1, env2 = (json.loads(h.run([sys.executable, "-c", show]).stdout) for h in (h1, h2))
    assert "MCAST_KEY" not in env1
    assert env1["XDG_CONFIG_HOME"] == f"{h1.home}/.config"
    assert env1["HOME"] == str(h1.home) != env2["HOME"]
    assert h1.run(["sh", "-c", "echo $A"], env={"A": "b"}).stdout == "b\n"


def test_mcast_of_this_checkout_runs(host: lab.Host) -> None:
    with host.spawn([sys.executable, "-c", "import mcast; print(mcast.__file__)"]) as process:
        process.wait_for(f"{lab.REPOSITORY}/mcast/__init__.py")


def test_a_terminal_shows_what_a_person_would_see(host: lab.Host) -> None:
    with host.terminal(["cat"], columns=40, rows=5) as terminal:
        terminal.type("hello\n")
        terminal.wait_for_screen("hello\nhello")
        assert terminal.screen() == ["hello", "hello", "", "", ""]
        lab.until(lambda: terminal.cursor() == (2, 0))
        terminal.type("\x04")
        assert terminal.wait() == 0


def test_a_terminal_keeps_every_escape_sequence(host: lab.Host) -> None:
    with host.terminal(["printf", r"\033[31mred\033[0m \033]0;title\007\033[2Jdone"]) as terminal:
        terminal.wait_for_screen("done")
        assert terminal.raw == b"\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b[2Jdone"
        assert "red" not in terminal.screen()[0]


def test_a_terminal_is_one_to_the_program(host: lab.Host) -> None:
    with host.terminal(["sh", "-c", "tty && stty size && test -t 0 -a -t 1 -a -t 2 && exec cat"]) as terminal:
        terminal.wait_for_screen(re.compile(r"/dev/pts/\d+\n30 100"))
        terminal.type("cat runs\n")  # a shell about to start it forgets a Ctrl-C
        terminal.wait_for_screen("cat runs\ncat runs")
        terminal.type("\x03")
        assert terminal.wait() == -signal.SIGINT


RESIZED = "trap 'stty size' WINCH; echo set; while :; do sleep 0.05; done"


def test_a_terminal_can_be_resized(host: lab.Host) -> None:
    with host.terminal(["sh", "-c", RESIZED]) as terminal:
        terminal.wait_for_screen("set")
        terminal.resize(60, 20)
        terminal.wait_for_screen("20 60")
        assert len(terminal.screen()) == 20


def test_a_terminal_answers_where_its_cursor_is(host: lab.Host) -> None:
    with host.terminal(["sh", "-c", r"stty raw -echo; printf '\033[6n'; head -c 6 | od -c"]) as terminal:
        terminal.wait_for_screen(re.compile(r"033\s+\[\s+1\s+;\s+1\s+R"))


def test_what_a_terminal_does_not_show_is_a_failure_with_its_screen(host: lab.Host) -> None:
    with host.terminal(["sh", "-c", "echo visible; exec sleep 60"]) as terminal:
        terminal.wait_for_screen("visible")
        with pytest.raises(lab.LabTimeout, match=r"'never' on the screen(.|\n)*visible"):
            terminal.wait_for_screen("never", 0.3)


def test_a_sequence_that_the_screen_cannot_draw_does_not_stop_it(host: lab.Host) -> None:
    with host.terminal(["printf", r"\033[?mlost \033[0mdrawn"]) as terminal:
        terminal.wait_for_screen("drawn")
        assert terminal.unreadable == [b"\x1b[?mlost "]
        assert terminal.raw == b"\x1b[?mlost \x1b[0mdrawn"


def test_what_a_shell_has_ignored_here_is_not_ignored_on_a_host(lan: lab.MakeLan) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        host = lan(1).hosts[0]
    finally:
        signal.signal(signal.SIGINT, before)
    with host.spawn(["sleep", "60"]) as process:
        assert process.interrupt(5) == -signal.SIGINT
