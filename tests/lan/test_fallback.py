"""A chat goes on when multicast stops and unicast passes."""

from __future__ import annotations

import re

from tests import lab

HOSTS = 5


def joined(lan: lab.Lan) -> list[lab.Process]:
    """A chat on each host; each has heard the others itself, and so knows their addresses."""
    chats = [host.mcast("chat", "--json", "--name", host.name) for host in lan.hosts]
    for chat in chats:
        chat.wait_for("chatting in", stream="stderr", timeout=60)
    for chat, host in zip(chats, lan.hosts, strict=True):
        chat.write(f"hello from {host.name}\n")
    for chat, others in zip(chats, all_others(lan), strict=True):
        for name in others:
            chat.wait_for(f'"text":"hello from {name}"', timeout=60)
            heard = rf'"type":"(join|update)".*"name":"{name}"(?!.*"unconfirmed")'
            chat.wait_for(re.compile(heard), timeout=60)
    return chats


def all_others(lan: lab.Lan) -> list[list[str]]:
    """The names of the other hosts, for each."""
    return [[other.name for other in lan.hosts if other is not host] for host in lan.hosts]


def check_told(chat: lab.Process, names: list[str]) -> None:
    """Two lines of each are told once and in order."""
    for name in names:
        chat.wait_for(f'"text":"1 from {name}"', timeout=60)
    messages = [one["text"] for one in chat.objects() if one["type"] == "message"]
    messages = [text for text in messages if not text.startswith("hello")]
    for name in names:
        assert [text for text in messages if text.endswith(name)] == [f"0 from {name}", f"1 from {name}"]
    assert len(messages) == 2 * len(names)


def test_a_chat_goes_on_when_the_switch_drops_multicast(lan: lab.MakeLan) -> None:
    made = lan(HOSTS, ipv6=False)
    chats = joined(made)
    for host in made.hosts:
        made.switch.port(host, mcast_flood=False)
    for number in range(2):
        for chat, host in zip(chats, made.hosts, strict=True):
            chat.write(f"{number} from {host.name}\n")
    for chat, others in zip(chats, all_others(made), strict=True):
        check_told(chat, others)
    for chat in chats:
        chat.wait_for('"state":"fallback"', timeout=60)
    for host in made.hosts:
        made.switch.port(host, mcast_flood=True)
    for chat in chats:
        chat.wait_for('"state":"multicast"', timeout=120)
    chats[0].write("back\n")
    for chat in chats[1:]:
        chat.wait_for('"text":"back"', timeout=60)
        messages = [one["text"] for one in chat.objects() if one["type"] == "message"]
        assert len(messages) == len(set(messages)), "nothing is told twice"


def test_the_line_below_the_prompt_says_so(lan: lab.MakeLan) -> None:
    made = lan(2, ipv6=False)
    h1, h2 = made.hosts
    ada = h1.mcast_terminal("chat", "--name", "ada", columns=110)
    bob = h2.mcast("chat", "--json", "--name", "bob")
    bob.wait_for("chatting in", stream="stderr")
    ada.wait_for_screen("1 other here")
    bob.write("hello\n")
    ada.wait_for_screen(re.compile(r"bob.*: hello"))
    ada.type("hello bob\r")
    bob.wait_for('"text":"hello bob"')
    for host in made.hosts:
        made.switch.port(host, mcast_flood=False)
    ada.type("anybody?\r")
    bob.wait_for('"text":"anybody?"', timeout=60)
    ada.wait_for_screen("1 other here (1 by unicast: multicast fails)", timeout=60)
    ada.wait_for_screen("multicast does not get through: 1 peer reached by unicast")
    for host in made.hosts:
        made.switch.port(host, mcast_flood=True)
    ada.wait_for_screen("multicast gets through again", timeout=120)
    lab.until(lambda: "multicast fails" not in "\n".join(ada.screen()))
