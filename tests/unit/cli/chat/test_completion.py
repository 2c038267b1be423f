"""What Tab offers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import to_plain_text

from mcast.cli.chat.completion import MOST, ChatCompleter, names
from mcast.core.events import PeerId, PeerView


def peer(name: str, origin: str = "cbf5") -> PeerView:
    return PeerView(PeerId(bytes.fromhex(origin.ljust(32, "0")), 1), name)


PEERS = [
    peer("bob"),
    peer("Bo Diddley", "a3f2"),
    peer("ada", "7d20"),
    peer("ada", "1234"),
    peer("e\x1bve", "9999"),
]


def offered(text: str) -> list[str]:
    room = SimpleNamespace(peers=lambda: PEERS)

    def rooms(typed: str, *, known: bool) -> list[str]:
        return [name for name in ("hall", "hut")[: 1 + known] if name.startswith(typed)]

    talk = SimpleNamespace(room=room, room_names=rooms)
    completer = ChatCompleter(cast(Any, SimpleNamespace(talk=talk)))
    found = completer.get_completions(Document(text), CompleteEvent())
    return [text[: len(text) + one.start_position] + one.text for one in found]


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("/wh", ["/who", "/whois "]),
        ("/HE", ["/help "]),
        ("/msg b", ["/msg Bo Diddley ", "/msg bob "]),
        ("/msg ada", ["/msg 7d200000 ", "/msg 12340000 "]),
        ("/whois e", ["/whois 99990000 "]),
        ("/msg bob b", []),
        ("/room h", ["/room hall", "/room hut"]),
        ("/join h", ["/join hall", "/join hut"]),
        ("/search b", []),
        ("hi @bo", ["hi @Bo Diddley ", "hi @bob "]),
        ("hi bo", []),
        ("", []),
    ],
)
def test_completions(text: str, texts: list[str]) -> None:
    assert offered(text) == texts


def test_a_menu_is_short_and_safe() -> None:
    assert (
        list(
            ChatCompleter(cast(Any, SimpleNamespace(talk=None))).get_completions(
                Document("/"), CompleteEvent()
            )
        )
        == []
    )
    crowd = [peer(f"x{number}\x1b[31m\u202e", f"{number:04x}") for number in range(1000)]
    found = list(names(crowd, "x"))
    assert len(found) == MOST
    assert all(to_plain_text(one.display).isprintable() for one in found)
    assert all(one.text.strip().isalnum() for one in found)
