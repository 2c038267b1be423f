"""Watching without a network: the two ways to notice a change, and what is told of it."""

from __future__ import annotations

import asyncio
import errno
import itertools
import socket
import sys
from collections.abc import Sequence

import pytest

from mcast.net import interface_monitor as module
from mcast.net import interface_table as iftable
from mcast.net.interface_monitor import Watcher, watch
from mcast.net.interface_table import Interface, Table

ONE: Table = (Interface("eth0", 2, ipv4=("10.0.0.1",)),)
TWO: Table = (*ONE, Interface("eth1", 3))


class Script:
    """Answers of the system, one a call; the last one for ever."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)
        self.calls = 0

    def __call__(self) -> object:
        self.calls += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """read() answers ONE, then TWO; every poll looks, as if something had always happened."""
    answers = Script(ONE, TWO)
    monkeypatch.setattr(module, "read", answers)
    monkeypatch.setattr(module, "_open_hint", module._Comparison)
    monkeypatch.setattr(module, "fingerprint", object)
    return answers


def test_poll_tells_the_table_then_only_changes(script: Script) -> None:
    with Watcher() as watcher:
        assert [watcher.poll() for _ in range(4)] == [ONE, TWO, None, None]


def test_poll_leaves_out_what_the_caller_knows(script: Script) -> None:
    with Watcher(known=ONE) as watcher:
        assert [watcher.poll() for _ in range(3)] == [None, TWO, None]


def test_a_look_that_failed_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Table | OSError] = [OSError(errno.EMFILE, "Too many open files"), TWO]

    def read() -> Table:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    silent = [BlockingIOError() for _ in range(3)]
    monkeypatch.setattr(module, "read", read)
    monkeypatch.setattr(module, "_open_hint", lambda: with_stub(*silent))
    with Watcher(known=ONE) as watcher:
        with pytest.raises(OSError, match="Too many"):
            watcher.poll()
        assert [watcher.poll(), watcher.poll()] == [TWO, None]


def test_the_first_poll_looks_even_when_nothing_was_said(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_open_hint", lambda: with_stub(BlockingIOError(), BlockingIOError()))
    with Watcher() as watcher:
        assert [watcher.poll(), watcher.poll()] == [ONE, None]


def test_watch_yields_the_table_then_every_change(script: Script) -> None:
    async def first(count: int) -> Sequence[Table]:
        tables: list[Table] = []
        async for table in watch(period=0.001):
            tables.append(table)
            if len(tables) == count:
                break
        return tables

    assert asyncio.run(asyncio.wait_for(first(2), 10)) == [ONE, TWO]


def test_the_table_is_read_only_when_something_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    prints, answers = Script("a", "a", "b", "b"), Script(ONE)
    monkeypatch.setattr(module, "fingerprint", prints)
    monkeypatch.setattr(module, "read", answers)
    monkeypatch.setattr(module, "_open_hint", module._Comparison)
    with Watcher() as watcher:
        for _ in range(5):
            watcher.poll()
    assert (prints.calls, answers.calls) == (5, 2)


def test_a_close_ends_it_twice_too() -> None:
    watcher = Watcher()
    watcher.close()
    watcher.close()


def test_a_quiet_kernel_says_nothing() -> None:
    notices = module._Notices()
    # The machine's own routes may change at any moment: only that silence is possible is asserted.
    assert not all(notices.changed() for _ in range(20))
    notices.close()


class Stub:
    """A socket whose recv raises these in turn."""

    def __init__(self, *errors: OSError) -> None:
        self._errors = list(errors)

    def recv(self, size: int) -> bytes:
        raise self._errors.pop(0)

    def close(self) -> None:
        self._errors.clear()


def with_stub(*errors: OSError) -> module._Notices:
    notices = module._Notices()
    notices.close()
    notices._socket = Stub(*errors)  # type: ignore[assignment]  # stands in for the socket's two methods
    return notices


def test_more_notices_than_the_buffer_holds_are_a_change() -> None:
    assert with_stub(OSError(errno.ENOBUFS, "overrun"), BlockingIOError()).changed()


def test_any_other_error_is_raised() -> None:
    with pytest.raises(OSError, match="bad"):
        with_stub(OSError(errno.EBADF, "bad")).changed()


def test_where_the_kernel_refuses_notices_answers_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "sandboxed")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    assert isinstance(module._open_hint(), module._Comparison)


def test_elsewhere_than_on_linux_answers_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert isinstance(module._open_hint(), module._Comparison)


def test_the_fingerprint_of_a_still_system_is_equal() -> None:
    # Twenty tries: on the machine that runs this, an interface may come or go once.
    prints = [iftable.fingerprint() for _ in range(20)]
    assert any(one == other for one, other in itertools.pairwise(prints))
