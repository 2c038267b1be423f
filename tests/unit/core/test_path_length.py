"""How many Python calls a lone line costs: fewer calls in fewer modules are what makes it fast."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import FrameType

from mcast import simulation
from mcast.core.events import Address

SLACK = 1.1
SEND, SEND_MODULES = 50, 15
RECEIVE, RECEIVE_MODULES = 60, 20
WARM = 20  # lines before the one that is counted


def _calls(act: Callable[[], object]) -> list[str]:
    """The module of each Python function of mcast that `act` calls; comprehensions do not count."""
    modules: list[str] = []

    def profile(frame: FrameType, event: str, _: object) -> None:
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith("mcast.") and not frame.f_code.co_name.startswith("<"):
            modules.append(module)

    sys.setprofile(profile)
    try:
        act()
    finally:
        sys.setprofile(None)
    return modules


class Tapped(simulation.Lan):
    """A LAN on which what is sent can be held back."""

    held: list[tuple[bytes, Address]] | None = None

    def transmit(
        self, data: bytes, source: Address, destination: Address = None, lans: Iterable[int] | None = None
    ) -> None:
        """Hold it back, or let it go."""
        if self.held is None:
            super().transmit(data, source, destination, lans)
        else:
            self.held.append((data, source))


def test_a_lone_line_takes_few_calls_in_few_modules() -> None:
    lan = Tapped(1)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(3.0)
    for number in range(WARM):
        ada.send(f"line {number}")
        lan.run(0.3)
    lan.held = []
    sent = _calls(lambda: ada.send("hello"))
    ((data, source),) = lan.held  # it has left when send() returns
    lan.held = None
    lan.now += 0.001
    received = _calls(lambda: bob.receive(data, source))
    assert bob.messages()[-1].text == "hello"
    assert len(sent) <= SLACK * SEND
    assert len(set(sent)) <= SLACK * SEND_MODULES
    assert len(received) <= SLACK * RECEIVE
    assert len(set(received)) <= SLACK * RECEIVE_MODULES
