"""Runs one function of a module of cases, and complains of whatever it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

GROUP = "239.7.7.7:4007"
PATIENCE = 30.0


def main(module: dict[str, Any]) -> None:
    """Run the case that the command line names; "ok" is printed when it left nothing behind."""
    # Debug mode warns of slow steps, which on a loaded machine say nothing.
    logging.getLogger("asyncio").addFilter(lambda record: not record.getMessage().startswith("Executing"))
    case = module[sys.argv[1]]
    before = sockets()
    if inspect.iscoroutinefunction(case):
        asyncio.run(_alone(case))
    else:
        case()
    gc.collect()
    left = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    assert not left, left
    assert sockets() <= before, sockets() - before
    print("ok", flush=True)


async def _alone(case: Callable[[], Awaitable[None]]) -> None:
    await case()
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, left


def sockets() -> set[str]:
    """The sockets and selectors this process has open."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            name = os.readlink(entry)
        except OSError:
            continue
        if name.startswith(("socket:", "anon_inode:")):
            found.add(f"{entry.name} {name}")
    return found


class refused:
    """What is inside raises exactly this."""

    def __init__(self, kind: type[Exception], words: str = "") -> None:
        self._kind, self._words = kind, words

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        if kind is None:
            raise AssertionError(f"no {self._kind.__name__}")
        return kind is self._kind and self._words in str(error)


async def until(is_so: Callable[[], bool]) -> None:
    """Poll until it is so."""
    limit = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < limit, "in vain"
        await asyncio.sleep(0.01)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Poll until it is so."""
    limit = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < limit, "in vain"
        time.sleep(0.01)
