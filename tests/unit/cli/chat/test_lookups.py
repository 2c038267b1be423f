"""What is saved, and the commands that need a name or a text."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mcast.cli.chat import lookups
from mcast.cli.chat.lookups import write_new
from mcast.errors import McastError, UsageError


def test_a_saved_chat_is_a_new_file_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "chat.txt"
    write_new(str(path), ["one", "汉"])
    assert path.read_text(encoding="utf-8") == "one\n汉\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for taken in (path, tmp_path / "none" / "chat.txt"):
        with pytest.raises(McastError, match="give another name: /save FILE"):
            write_new(str(taken), [])
    assert path.read_text(encoding="utf-8") == "one\n汉\n"


@pytest.mark.parametrize("run", [lookups.whois, lookups.ignore, lookups.search, lookups.save])
def test_plain_text_has_nobody_and_keeps_nothing(run: Callable[[Any, str], Awaitable[None]]) -> None:
    talk = cast(Any, SimpleNamespace(room=SimpleNamespace(session=None, archive=None)))

    async def main() -> None:
        await run(talk, "bob")

    with pytest.raises(UsageError, match="--plain"):
        asyncio.run(main())
