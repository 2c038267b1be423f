"""What a program does with mcast.aio: each function is a case, run by name."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
from collections.abc import AsyncIterator

from mcast import aio, errors, settings
from mcast.events import (
    Answer,
    Event,
    GapOpened,
    Message,
    Overflow,
    PeerJoined,
    PeerLeft,
    PeerUpdated,
    PrivateMessage,
    Question,
)
from mcast.runtime.event_queue import EventQueue
from tests.lan.programs.cases import GROUP, PATIENCE, main, refused, sockets, until


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[tuple[aio.Group, aio.Group]]:
    """Two groups that know each other."""
    async with aio.join(GROUP, name="ada") as ada, aio.join(GROUP, name="bob") as bob:
        await until(lambda: knows(ada, bob) and knows(bob, ada))
        yield ada, bob


def knows(group: aio.Group, other: aio.Group) -> bool:
    """Whether one has met the other."""
    return any(peer.peer_id == other.peer_id for peer in group.peers())


async def texts(group: aio.Group, count: int) -> list[str | None]:
    """The next messages."""
    found: list[str | None] = []
    async with asyncio.timeout(PATIENCE):
        async for message in group.messages():
            found.append(message.text)
            if len(found) == count:
                break
    return found


async def next_of(group: aio.Group, *kinds: type) -> Event:
    """The next event of one of these kinds."""
    async with asyncio.timeout(PATIENCE):
        async for event in group.events():
            if isinstance(event, kinds):
                return event
    raise AssertionError("the end")


async def talk() -> None:
    async with aio.join(GROUP, name="ada") as ada:
        async with aio.join(GROUP, name="bob") as bob:
            joined = await next_of(ada, PeerJoined)
            assert isinstance(joined, PeerJoined)
            assert joined.peer.name == "bob"
            assert joined.peer.peer_id == bob.peer_id
            receipt = await ada.send("grüße")
            await ada.send(b"\xff\x00")
            await ada.send("")
            async with asyncio.timeout(PATIENCE):
                async for message in bob.messages():
                    first = message
                    break
            assert (first.text, first.peer_id, first.name) == ("grüße", ada.peer_id, "ada")
            assert receipt.id == aio.message_id(first.peer_id, first.sequence, first.index)
            assert await texts(bob, 2) == [None, ""]
            assert await receipt.confirmed(timeout=PATIENCE)
            assert bob.peer_id in [peer.peer_id for peer in receipt.heard_by]
            assert receipt.unheard_by == ()
            bob.announce(tags={"role": "printer"}, services=["_ipp._tcp:631"])
            while True:
                updated = await next_of(ada, PeerUpdated)
                assert isinstance(updated, PeerUpdated)
                if b"printer" in updated.peer.attributes:
                    break
            assert updated.peer.services == (aio.Service("_ipp._tcp", 631),)
            acks = await (await ada.send("who has it?")).acked(by=["bob", updated.peer.id], timeout=PATIENCE)
            assert acks.complete
            assert [peer.peer_id for peer in acks.confirmed] == [bob.peer_id]
            assert ada.stats()["peers"] == 1
        left = await next_of(ada, PeerLeft)
        assert isinstance(left, PeerLeft)
        assert (left.peer.peer_id, left.reason) == (bob.peer_id, "goodbye")
        assert ada.peers() == []


async def private() -> None:
    async with pair() as (ada, bob), aio.join(GROUP, name="cyd") as cyd:
        await until(lambda: knows(ada, bob) and knows(bob, ada) and knows(cyd, ada))
        large = "x" * 65536
        (to_bob,) = [peer for peer in ada.peers() if peer.name == "bob"]
        receipts = [await ada.send(text, to=to_bob) for text in ("psst", large)]
        assert all([await receipt.confirmed(timeout=PATIENCE) for receipt in receipts])
        assert receipts[0].peer_id == bob.peer_id
        heard = [
            event for _ in range(2) if isinstance(event := await next_of(bob, PrivateMessage), PrivateMessage)
        ]
        assert [event.text for event in heard] == ["psst", large]
        await (await bob.send("back", to=heard[0])).confirmed(timeout=PATIENCE)
        await ada.send("to all")
        assert await texts(cyd, 1) == ["to all"]
        assert not [event for event in cyd._queue.take() if isinstance(event, PrivateMessage)]
        assert await texts(bob, 1) == ["to all"]
        with refused(errors.UsageError, "not a peer"):
            await ada.send("x", to="bob")  # type: ignore[call-overload]  # that is the test
        with refused(errors.UsageError, "oneself"):
            await ada.send("x", to=ada.peer_id)
        bob._driver.stop()  # sockets that are only closed are opened again, and it confirms after all
        receipt = await ada.send("lost", to=to_bob)
        assert not await receipt.confirmed(timeout=0.3)


async def questions() -> None:
    bob = aio.join(GROUP, name="bob")

    @bob.on_ask
    async def answer(question: Question) -> str | None:
        if question.text == "late?":
            await asyncio.sleep(1.0)
        return None if question.text == "not for you" else f"{question.text} yes, {question.name}"

    async with aio.join(GROUP, name="ada") as ada, bob, aio.join(GROUP, name="vic", visitor=True) as vic:
        await until(lambda: knows(ada, bob))
        for asker in (ada, vic):
            answers = await asker.ask("up?", timeout=PATIENCE)
            assert [one.text for one in answers] == [f"up? yes, {asker.name}"]
        declined = await ada.ask("not for you", timeout=PATIENCE)
        assert (len(declined), len(declined.declined), declined.silent) == (0, 1, ())
        none = await ada.ask("late?", timeout=0.2)
        assert [peer.name for peer in none.silent] == ["bob"]
        late = await next_of(ada, Answer)
        assert isinstance(late, Answer)
        assert (late.late, late.text) == (True, "late? yes, ada")
        vic.on_ask(answer)
        assert await bob.settled(timeout=PATIENCE)


async def misuse() -> None:
    group = aio.join(GROUP)
    for use in (group.peers, group.stats, group.announce, group.ask_roster, lambda: group.send_nowait("x")):
        with refused(errors.UsageError, "not been entered"):
            use()
    with refused(errors.UsageError, "not been entered"):
        await group.send("early")
    for iterate in (group.events(), group.batches(), group.messages()):
        with refused(errors.UsageError, "not been entered"):
            await anext(iterate)
    await group.close()
    async with group:
        with refused(errors.UsageError, "entered once"):
            await group.__aenter__()
        with refused(errors.UsageError, "event loop"):
            await asyncio.to_thread(group.send_nowait, "from a thread")
        before = await group.send("before")
        for wrong in (5, None, ["x"], "half \ud800"):
            with refused(errors.UsageError):
                await group.send(wrong)  # type: ignore[arg-type] # wrong on purpose
        with refused(errors.MessageTooLarge, "larger than 65536"):
            await group.send(bytes(65_537))
        with refused(errors.MessageTooLarge, "larger than 65536"):
            await group.send_many(["fits", bytes(65_537)])
        for one in ("text", b"bytes"):
            with refused(errors.UsageError, "one message"):
                await group.send_many(one)  # type: ignore[arg-type] # wrong on purpose
        assert await group.send_many([]) is None
        after = await group.send("after")
        # Nothing of what was refused took a place.
        assert [int(part, 16) for part in after.id.split("-")[2:]] == [2, 0], (before.id, after.id)
        await group.send(bytearray(65_536))
    for use in (group.announce, group.ask_roster, lambda: group.send_nowait("x")):
        with refused(errors.GroupClosed, "closed"):
            use()
    with refused(errors.GroupClosed, "closed"):
        await group.send("late")
    with refused(errors.GroupClosed, "closed"):
        await group.send_many(["late"])
    assert [event async for event in group.events()] == []
    assert [message async for message in group.messages()] == []
    assert group.peers() == []
    assert "kernel-drops" in group.stats()
    with refused(errors.UsageError, "entered once"):
        await group.__aenter__()
    async with aio.join(GROUP, passive=True) as passive:
        with refused(errors.UsageError, "passive"):
            await passive.send("x")
        with refused(errors.UsageError, "passive"):
            await passive.send_many([])


async def failed_entry() -> None:
    group = aio.join(GROUP, interfaces=["nosuch0"])
    with refused(errors.UnknownInterface, "nosuch0"):
        async with group:
            raise AssertionError("entered")
    with refused(errors.GroupClosed, "closed"):
        await group.send("x")
    assert [event async for event in group.events()] == []
    await group.close()


async def overflow() -> None:
    bob = aio.join(GROUP, name="bob")
    bob._queue = EventQueue(events_max=100)
    async with aio.join(GROUP, name="ada") as ada, bob:
        await until(lambda: bool(ada.peers() and bob.peers()))
        last = [await ada.send(f"{number}") for number in range(1000)][-1]
        assert await last.confirmed(timeout=PATIENCE)
        batch = await anext(bob.batches())
    assert isinstance(batch[0], Overflow)
    kept = [int(event.text or "") for event in batch if isinstance(event, Message)]
    assert 0 < len(kept) <= 100
    assert kept == list(range(1000 - len(kept), 1000))
    assert batch[0].messages == 1000 - len(kept)


async def two_consumers() -> None:
    async with pair() as (ada, bob):
        found: list[list[str | None]] = [[], []]

        async def consume(into: list[str | None]) -> None:
            async for message in bob.messages():
                into.append(message.text)
                await asyncio.sleep(0)

        tasks = [asyncio.create_task(consume(into)) for into in found]
        for number in range(200):
            await ada.send(f"{number}")
            if number % 20 == 0:
                await asyncio.sleep(0.01)
        await until(lambda: sum(map(len, found)) == 200)
        assert sorted(int(text or "") for into in found for text in into) == list(range(200))
        for into in found:
            assert into == sorted(into, key=lambda text: int(text or ""))
        await bob.close()
        await asyncio.gather(*tasks)


async def stopping_early_loses_nothing() -> None:
    async with pair() as (ada, bob):
        await asyncio.gather(*(ada.send(f"{number}") for number in range(10)))
        assert await texts(bob, 3) == ["0", "1", "2"]
        assert await texts(bob, 2) == ["3", "4"]
        found = []
        async for event in bob.events():
            if isinstance(event, Message):
                found.append(event.text)
                if len(found) == 3:
                    break
        assert found == ["5", "6", "7"]
        assert await texts(bob, 2) == ["8", "9"]


async def idle_messages() -> None:
    async with pair() as (ada, bob):
        loop = asyncio.get_running_loop()

        async def chatter() -> None:
            for number in itertools.count():
                ada.announce(tags={"n": str(number)})
                await asyncio.sleep(0.05)

        task = asyncio.create_task(chatter())
        receipt = await ada.send("one")
        assert await receipt.confirmed(1, timeout=PATIENCE)
        start = loop.time()
        assert [message.text async for message in bob.messages(timeout=0.5)] == ["one"]
        assert 0.5 <= loop.time() - start < 20  # other events do not prolong it
        assert [message async for message in bob.messages(timeout=0)] == []
        task.cancel()
        await asyncio.wait([task])


async def cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def cancellation() -> None:
    async with pair() as (ada, bob):

        async def iterate() -> None:
            async for _ in bob.messages():
                pass

        async def sending() -> None:
            while True:
                await ada.send(bytes(60_000))

        task = asyncio.create_task(iterate())
        await asyncio.sleep(0.05)
        await cancelled(task)
        tasks = [asyncio.create_task(sending()) for _ in range(3)]
        await until(lambda: not ada.writable)
        await asyncio.sleep(0.01)
        for sender in tasks:
            await cancelled(sender)
        receipt = await ada.send("last")
        confirming = asyncio.create_task(receipt.confirmed(99, timeout=PATIENCE))
        await asyncio.sleep(0.05)
        await cancelled(confirming)
        while (await texts(bob, 1)) != ["last"]:
            pass


async def cancelled_while_closing() -> None:
    async with aio.join(GROUP, name="bob") as bob:
        ada = await aio.join(GROUP, name="ada").__aenter__()
        await until(lambda: bool(bob.peers()))
        before = sockets()
        closing = asyncio.create_task(ada.close())
        other = asyncio.create_task(ada.close())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await cancelled(closing)
        async with asyncio.timeout(PATIENCE):
            await other
        assert len(sockets()) < len(before)
        left = await next_of(bob, PeerLeft)
        assert isinstance(left, PeerLeft)
        assert left.reason == "goodbye"
        await ada.close()


async def cancelled_while_entering() -> None:
    async def enter() -> None:
        async with aio.join(GROUP):
            await asyncio.sleep(PATIENCE)

    at_once = asyncio.create_task(enter())
    await cancelled(at_once)
    later = asyncio.create_task(enter())
    await asyncio.sleep(0)
    await cancelled(later)


async def closing_under_others() -> None:
    ada = await aio.join(GROUP, name="ada", settings=settings.wifi()).__aenter__()

    async def iterate() -> str:
        async for _ in ada.events():
            pass
        return "end"

    async def sending() -> None:
        while True:
            await ada.send(bytes(60_000))

    iterating = asyncio.create_task(iterate())
    senders = [asyncio.create_task(sending()) for _ in range(3)]
    confirming = asyncio.create_task((await ada.send("x")).confirmed(1, timeout=PATIENCE))
    await asyncio.sleep(0.1)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(ada.close(), ada.close())
        await ada.close()
        assert await iterating == "end"
        assert await confirming is False
        for result in await asyncio.gather(*senders, return_exceptions=True):
            assert isinstance(result, errors.GroupClosed), result


async def exception_in_the_body() -> None:
    try:
        async with aio.join(GROUP) as group:
            await group.send("x")
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    with refused(errors.GroupClosed, "closed"):
        await group.send("x")
    async with aio.join(GROUP) as group:
        await group.close()
        await group.close()


async def sending_without_a_pause() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with aio.join(GROUP) as group:
        task = asyncio.create_task(others())
        # So little at a time that it always leaves at once: send() itself never has to wait.
        end = group.now + PATIENCE
        while turns <= 20:
            assert group.now < end, turns
            await group.send(b"x")
        task.cancel()


async def many_at_once() -> None:
    """More than fits, of all sizes, by two tasks: in order, once, the last one's receipt for all."""
    async with pair() as (ada, bob):

        async def sending(task: str) -> aio.Receipt | None:
            sizes = [60_000 if number % 500 == 7 else number % 90 for number in range(3000)]
            return await ada.send_many(f"{task} {number} ".ljust(size) for number, size in enumerate(sizes))

        both = asyncio.gather(sending("a"), sending("b"))
        found = [str(text).split() for text in await texts(bob, 6000)]
        for task in "ab":
            assert [int(number) for name, number in found if name == task] == list(range(3000))
        for receipt in await both:
            assert receipt is not None
            assert await receipt.confirmed(timeout=PATIENCE)


async def gap_timeout() -> None:
    async with aio.join(GROUP, gap_timeout=0.25, settings=settings.wifi()) as group:
        assert group._engine._context.settings.gap_timeout == 0.25
        assert group._engine._context.settings.start_rate == settings.wifi().start_rate
    assert GapOpened is not None


def left_open() -> None:
    async def forget() -> None:
        group = await aio.join(GROUP, name="ada").__aenter__()
        await group.send("hello")
        asyncio.create_task(texts(group, 1))  # noqa: RUF006  (forgotten, too)
        await asyncio.sleep(0.3)

    asyncio.run(forget())


def loop_closed() -> None:
    loop = asyncio.new_event_loop()
    group = aio.join(GROUP, name="ada")
    loop.run_until_complete(group.__aenter__())
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # the program's fault, not ours
    loop.close()

    async def elsewhere() -> None:
        with refused(errors.UsageError, "event loop"):
            await group.send("x")
        await group.close()
        await group.close()

    asyncio.run(elsewhere())
    loop.close()


def forked() -> None:
    async def parent() -> None:
        async with pair() as (ada, bob):
            await ada.send("before")
            for ending in ("leave", "exit"):
                child = os.fork()
                if child == 0:
                    await in_child(ada, ending)
                _, status = os.waitpid(child, 0)  # noqa: ASYNC222  (a child has no threads to wait with)
                assert os.waitstatus_to_exitcode(status) == 7, status
                await ada.send(f"after {ending}")
            assert await (await ada.send("last")).confirmed(timeout=PATIENCE)
            await asyncio.to_thread(lambda: None)  # the loop can still be woken
            await asyncio.sleep(0.3)  # a goodbye would have come
            await bob.close()
            heard = [event async for event in bob.events() if not isinstance(event, PeerJoined | PeerUpdated)]
            assert [event.text for event in heard if isinstance(event, Message)] == [
                "before",
                "after leave",
                "after exit",
                "last",
            ], heard
            assert len(heard) == 4, heard

    asyncio.run(parent())


async def in_child(group: aio.Group, ending: str) -> None:
    assert not {name for name in sockets() if "socket:" in name} - self_pipe(group)
    for use in (group.announce, lambda: group.send_nowait("x")):
        with refused(errors.GroupClosed, "forked"):
            use()
    with refused(errors.GroupClosed, "forked"):
        await anext(group.events())
    await group.close()
    if ending == "leave":
        os._exit(7)
    sys.exit(7)


def self_pipe(group: aio.Group) -> set[str]:
    """The sockets of the loop itself."""
    loop = group._loop
    ends = [getattr(loop, name).fileno() for name in ("_ssock", "_csock")]
    return {name for name in sockets() if int(name.split()[0]) in ends}


def interrupted() -> None:
    async def wait() -> None:
        async with aio.join(GROUP, name="ada") as group:
            print("ready", flush=True)
            async for _ in group.events():
                pass

    try:
        asyncio.run(wait())
    except KeyboardInterrupt:
        print("interrupted", flush=True)


if __name__ == "__main__":
    main(globals())
