"""What a program does with mcast.join(): each function is a case, run by name."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mcast
from mcast.runtime.event_queue import ThreadEventQueue
from tests.lan.programs.cases import GROUP, PATIENCE, main, refused, sockets, wait_until


@contextlib.contextmanager
def pair() -> Iterator[tuple[mcast.Group, mcast.Group]]:
    """Two groups that know each other."""
    with mcast.join(GROUP, name="ada") as ada, mcast.join(GROUP, name="bob") as bob:
        wait_until(lambda: knows(ada, bob) and knows(bob, ada))
        yield ada, bob


def knows(group: mcast.Group, other: mcast.Group) -> bool:
    """Whether one has met the other."""
    return any(peer.peer_id == other.peer_id for peer in group.peers())


def texts(group: mcast.Group, count: int) -> list[str | None]:
    """The next messages."""
    found: list[str | None] = []
    for message in group.messages(timeout=PATIENCE):
        found.append(message.text)
        if len(found) == count:
            break
    return found


def private() -> None:
    with pair() as (ada, bob):
        receipt = ada.send("psst", to=ada.peers()[0])
        assert receipt.confirmed(timeout=PATIENCE)
        assert (receipt.delivered, receipt.peer_id) == (True, bob.peer_id)
        assert receipt.id.endswith("-p1")
        heard = next(event for event in bob.events(PATIENCE) if isinstance(event, mcast.PrivateMessage))
        assert (heard.text, heard.peer_id) == ("psst", ada.peer_id)
        with refused(mcast.UsageError, "not a peer"):
            ada.send("x", to=5)  # type: ignore[call-overload]  # that is the test


def files() -> None:
    with tempfile.TemporaryDirectory() as name, pair() as (ada, bob):
        directory = Path(name)
        (directory / "d" / "sub").mkdir(parents=True)
        (directory / "d" / "sub" / "a").write_bytes(bytes(range(256)) * 4000)
        (directory / "d" / "link").symlink_to("sub")
        drop = ada.drop(directory / "d")
        assert [one.reason for one in drop.skipped] == ["it is a link"]
        assert (drop.offer.peer_id, drop.offer.name) == (ada.peer_id, "ada")
        assert (drop.offer.title, drop.offer.count, drop.offer.size) == ("d/", 1, 1_024_000)
        offer = next(event for event in bob.events(PATIENCE) if isinstance(event, mcast.TransferOffered))
        assert bob.offered() == [offer]
        assert [peer.name for peer in bob.holders(offer)] == ["ada"]
        fetch = bob.accept(offer, into=directory / "in")
        assert fetch.wait(PATIENCE) is None
        assert fetch.paths == (directory / "in" / "d",)
        assert (fetch.paths[0] / "sub" / "a").read_bytes() == bytes(range(256)) * 4000
        verdict = drop.wait(receivers=["bob"], timeout=PATIENCE)
        assert verdict
        assert [one.name for one in verdict.whole] == ["bob"]
        with refused(mcast.UsageError, "either a sink or a directory"):
            bob.accept(offer)
        with refused(mcast.UsageError, "sub/a: it is not a directory"):
            bob.accept(offer, into=fetch.paths[0] / "sub" / "a")
        with refused(mcast.UsageError, "there is no file"):
            ada.drop([directory / "nothing"])
        with refused(mcast.UsageError, "'bob' is not a peer"):
            ada.drop(directory / "d", to=["bob"])  # type: ignore[list-item]  # as a program may do


def questions() -> None:
    with pair() as (ada, bob):
        hung = threading.Event()

        @bob.on_ask
        def answer(question: mcast.Question) -> str | None:
            if question.text == "hang":
                hung.wait(60)
            if question.text == "fail":
                raise mcast.McastError("the disk is full", "free some")
            return threading.current_thread().name

        wait_until(lambda: any(peer.answers for peer in ada.peers()))
        (said,) = ada.ask("who?", timeout=PATIENCE)
        assert said.text == "mcast-on-ask"
        (failed,) = ada.ask("fail", timeout=PATIENCE).failed
        assert failed.text == "the disk is full"
        assert [peer.name for peer in ada.ask("hang", timeout=0.2).silent] == [bob.name]
        hung.set()
        wait_until(lambda: not any(thread.name == "mcast-on-ask" for thread in threading.enumerate()))


def talk() -> None:
    with pair() as (ada, bob):
        receipt = ada.send("grüße")
        ada.send(b"\xff\x00")
        ada.send("")
        first = next(bob.messages(timeout=PATIENCE))
        assert (first.text, first.peer_id, first.name) == ("grüße", ada.peer_id, ada.name)
        assert receipt.id == mcast.aio.message_id(first.peer_id, first.sequence, first.index)
        assert texts(bob, 2) == [None, ""]
        assert receipt.confirmed(timeout=PATIENCE)
        assert bob.peer_id in [peer.peer_id for peer in receipt.heard_by]
        assert receipt.unheard_by == ()
        bob.announce(tags={"role": "printer"}, services=["_ipp._tcp:631"])
        for event in ada.events(timeout=PATIENCE):
            if isinstance(event, mcast.PeerUpdated) and b"printer" in event.peer.attributes:
                break
        else:
            raise AssertionError("no update")
        assert event.peer.tags == {"role": "printer"}
        assert event.peer.services == (mcast.Service("_ipp._tcp", 631),)
        assert event.peer.interfaces == ("eth0",)
        (peer,) = ada.peers()
        assert (peer.id, peer.tags, peer.interfaces) == (event.peer.id, event.peer.tags, ("eth0",))
        assert "10.9.0.1" in peer.addresses
        acks = ada.send("who has it?").acked(by=[bob.name, peer.id], timeout=PATIENCE)
        assert acks
        assert [peer.peer_id for peer in acks.confirmed] == [bob.peer_id]
        assert acks.missing == ()
        assert ada.stats()["peers"] == 1
        bob.close()
        (left,) = [
            event for event in next(ada.batches(timeout=PATIENCE)) if isinstance(event, mcast.PeerLeft)
        ]
        assert (left.peer.peer_id, left.reason) == (bob.peer_id, "goodbye")
    assert bob.peer_id in [peer.peer_id for peer in receipt.heard_by]
    assert ada.peers() == []
    assert "kernel-drops" in ada.stats()


def misuse() -> None:
    with mcast.join(GROUP) as group:
        before = group.send("before")
        for wrong in (5, None, ["x"], "half \ud800"):
            with refused(mcast.UsageError):
                group.send(wrong)  # type: ignore[arg-type] # wrong on purpose
        with refused(mcast.MessageTooLarge, "larger than 65536"):
            group.send(bytes(65_537))
        after = group.send("after")
        assert [int(part) for part in after.id.split("-")[2:]] in ([1, 1], [2, 0]), (before.id, after.id)
        group.send(memoryview(bytes(65_536)))
        with refused(mcast.UsageError, "do not fit"):
            group.announce(tags={"k": "v" * 300})
        refusals: queue.Queue[Exception] = queue.Queue()

        def inside() -> None:
            uses: list[Callable[[], object]] = [
                lambda: group.send("x"),
                lambda: next(group.messages()),
                lambda: next(group.events()),
                group.peers,
                group.stats,
                group.close,
                lambda: after.heard_by,
                lambda: after.confirmed(1),
            ]
            for use in uses:
                try:
                    use()
                except Exception as error:
                    refusals.put(error)

        group._thread.call_soon(inside)
        for _ in range(8):
            refusal = refusals.get(timeout=PATIENCE)
            assert isinstance(refusal, mcast.UsageError), refusal
            assert "own event loop" in str(refusal)
    group.close()
    with refused(mcast.GroupClosed, "closed"):
        group.send("late")
    with refused(mcast.GroupClosed, "closed"):
        group.announce()
    assert not any(isinstance(event, mcast.Message) for event in group.events())
    assert list(group.messages()) == []
    for wrong in ("nosuch0", "10.99.99.99"):
        with refused(mcast.UnknownInterface, wrong):
            mcast.join(GROUP, interfaces=[wrong])
    with mcast.join(GROUP, passive=True) as passive, refused(mcast.UsageError, "passive"):
        passive.send("x")


def many_threads() -> None:
    with pair() as (ada, bob), ThreadPoolExecutor(8) as pool:

        def sending(thread: int) -> list[mcast.Receipt]:
            return [ada.send(f"{thread} {number}") for number in range(250)]

        receipts = [receipt for sent in pool.map(sending, range(8)) for receipt in sent]
        found = [str(text).split() for text in texts(bob, 2000)]
        for thread in range(8):
            assert [int(n) for t, n in found if int(t) == thread] == list(range(250))
        assert len({receipt.id for receipt in receipts}) == 2000
        assert receipts[-1].confirmed(timeout=PATIENCE)


def pressed() -> None:
    """More than fits: send() waits, memory stays bounded, nothing is lost."""
    with pair() as (ada, bob):
        for number in range(50):
            ada.send(f"{number} ".ljust(60_000))
            assert ada._unsent_bytes < 400_000
        assert [int(str(text)) for text in texts(bob, 50)] == list(range(50))


def many_at_once() -> None:
    """More than is handed over at a time: in order, once, the last one's receipt for all."""
    with pair() as (ada, bob):
        assert ada.send_many([]) is None
        for wrong in ("one", b"one"):
            with refused(mcast.UsageError, "one message"):
                ada.send_many(wrong)  # type: ignore[arg-type] # wrong on purpose
        receipt = ada.send_many(f"{number} ".ljust(200) for number in range(5000))
        assert [int(str(text)) for text in texts(bob, 5000)] == list(range(5000))
        assert receipt is not None
        assert receipt.confirmed(timeout=PATIENCE)
    with refused(mcast.GroupClosed, "closed"):
        ada.send_many(["late"])


def overflow() -> None:
    bob = mcast.aio.join(GROUP, name="bob")
    with mcast.join(GROUP, name="ada") as ada, mcast.Group(bob) as listening:
        listening._queue._events_max = 100
        wait_until(lambda: bool(ada.peers()))
        last = [ada.send(f"{number}") for number in range(1000)][-1]
        assert last.confirmed(timeout=PATIENCE)
        events = next(listening.batches(timeout=PATIENCE))
    assert isinstance(events[0], mcast.Overflow)
    kept = [int(event.text or "") for event in events if isinstance(event, mcast.Message)]
    assert kept == list(range(1000 - len(kept), 1000))
    assert events[0].messages == 1000 - len(kept)
    assert isinstance(listening._queue, ThreadEventQueue)


def two_consumers() -> None:
    with pair() as (ada, bob), ThreadPoolExecutor(2) as pool:
        consuming = [pool.submit(lambda: [m.text for m in bob.messages(timeout=5.0)]) for _ in range(2)]
        for number in range(500):
            ada.send(f"{number}")
        found = [[int(text or "") for text in task.result()] for task in consuming]
        assert sorted(found[0] + found[1]) == list(range(500))
        assert all(numbers == sorted(numbers) for numbers in found)


def idle_messages() -> None:
    with pair() as (ada, bob):
        stop = threading.Event()

        def chatter() -> None:
            number = 0
            while not stop.wait(0.05):
                number += 1
                ada.announce(tags={"n": str(number)})

        thread = threading.Thread(target=chatter)
        thread.start()
        try:
            assert ada.send("one").confirmed(1, timeout=PATIENCE)
            start = time.monotonic()
            assert [message.text for message in bob.messages(timeout=0.5)] == ["one"]
            assert 0.5 <= time.monotonic() - start < 20  # other events do not prolong it
            assert list(bob.messages(timeout=0)) == []
        finally:
            stop.set()
            thread.join()


def closed_by_another_thread() -> None:
    group = mcast.join(GROUP, settings=mcast.settings.wifi())
    receipt = group.send("x")

    def sending() -> str:
        try:
            while True:
                group.send(bytes(60_000))
        except mcast.GroupClosed:
            return "closed"

    def confirming() -> str:
        try:
            return str(receipt.confirmed(1, timeout=PATIENCE))
        except mcast.GroupClosed:
            return "False"

    with ThreadPoolExecutor(7) as pool:
        listening = pool.submit(
            lambda: [event for event in group.events() if isinstance(event, mcast.Message)]
        )
        waiting = [pool.submit(function) for function in (sending, sending, confirming)]
        time.sleep(0.2)
        for closing in [pool.submit(group.close) for _ in range(3)]:
            closing.result(PATIENCE)
        assert [task.result(PATIENCE) for task in waiting] == ["closed", "closed", "False"]
        assert listening.result(PATIENCE) == []
    wait_until(lambda: threading.active_count() == 1)  # close() waits for its thread, but not for ever


def exception_in_the_body() -> None:
    with contextlib.suppress(ZeroDivisionError), mcast.join(GROUP) as group:
        group.send("x")
        raise ZeroDivisionError
    with refused(mcast.GroupClosed, "closed"):
        group.send("x")


def failed_entry() -> None:
    for _ in range(3):
        with refused(mcast.UnknownInterface, "nosuch0"):
            mcast.join(GROUP, interfaces=["nosuch0"])


def forked() -> None:
    with pair() as (ada, bob):
        receipt = ada.send("before")
        for ending in ("leave", "exit"):
            with ada._changed, ada._queue._lock:  # as if another thread were in the middle of a call
                child = os.fork()
            if child == 0:
                in_child(ada, receipt, ending)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 7, status
            ada.send(f"after {ending}")
        assert ada.send("last").confirmed(timeout=PATIENCE)
        time.sleep(0.3)  # a goodbye would have come
        bob.close()
        heard = [
            event for event in bob.events() if not isinstance(event, mcast.PeerJoined | mcast.PeerUpdated)
        ]
        said = [event.text for event in heard if isinstance(event, mcast.Message)]
        own = "from a run of its own"
        assert said == ["before", own, "after leave", own, "after exit", "last"], heard
        assert len(heard) == 6, heard


def in_child(group: mcast.Group, receipt: mcast.Receipt, ending: str) -> None:
    assert not {name for name in sockets() if "socket:" in name}, sockets()
    uses: list[Callable[[], object]] = [
        lambda: group.send("x"),
        lambda: next(group.events()),
        lambda: next(group.messages(timeout=1)),
        group.peers,
        lambda: group.announce(tags={}),
        lambda: receipt.confirmed(1),
    ]
    for use in uses:
        with refused(mcast.GroupClosed, "forked"):
            use()
    group.close()
    with mcast.join(GROUP, name="child", visitor=True) as own:
        own.send("from a run of its own").id  # noqa: B018  (waits until it is on its way)
    if ending == "leave":
        os._exit(7)
    sys.exit(7)


def left_open() -> None:
    group = mcast.join(GROUP, name="ada")
    group.send("hello")
    print("ok", flush=True)
    sys.exit(0)


def left_open_by_an_error() -> None:
    group = mcast.join(GROUP, name="ada")
    group.send("hello")
    print("ok", flush=True)
    sys.exit(3)


def interrupted() -> None:
    with contextlib.suppress(KeyboardInterrupt), mcast.join(GROUP, name="ada") as group:
        print("ready", flush=True)
        for _ in group.events():
            pass
    print("interrupted", flush=True)


if __name__ == "__main__":
    main(globals())
