"""The plan that the options of a network describe or contradict."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest
import typer

from mcast.cli import session
from mcast.cli.items import Item, NoticeItem
from mcast.cli.notices import LINES
from mcast.cli.session import PORTION, Network, Reporter, Session, portions
from mcast.errors import InvalidGroup, InvalidPort, UsageError
from mcast.net.links import Plan


def plan(
    *groups: str,
    port: str | None = None,
    only4: bool = False,
    only6: bool = False,
    sources: tuple[str, ...] = (),
) -> Plan:
    context = SimpleNamespace(
        params={"source": sources}, get_parameter_source=lambda name: SimpleNamespace(name="COMMANDLINE")
    )
    network = Network(cast(typer.Context, context), list(groups), port, None, only4, only6, sources=sources)
    return network.plain_plan()


def test_without_flags_it_is_the_default_group() -> None:
    assert [str(group) for group in plan().groups] == ["230.0.0.1:3000"]


def test_groups_repeat_and_equal_ones_are_one() -> None:
    made = plan("230.0.0.2", "ff12::1", "230.0.0.2:3000", "[ff12:0::1]:5")
    assert [str(group) for group in made.groups] == ["230.0.0.2:3000", "[ff12::1]:3000", "[ff12::1]:5"]
    assert made.versions == (4, 6)


def test_the_port_beside_the_group_goes_for_all_that_name_none() -> None:
    made = plan("230.0.0.2", "230.0.0.3:7000", port="7000")
    assert [group.port for group in made.groups] == [7000, 7000]


@pytest.mark.parametrize(
    ("groups", "options", "error", "says"),
    [
        (("1.2.3.4",), {}, InvalidGroup, r"224\.0\.0\.0-239\.255\.255\.255 or ff00::/8"),
        (("fe80::1",), {}, InvalidGroup, "ff00::/8"),
        (("ff02::1%eth0",), {}, InvalidGroup, "name the interface with -i"),
        (("",), {}, InvalidGroup, "ff00::/8"),
        (("[ff02::1",), {}, InvalidGroup, r"\[ADDRESS\]:PORT"),
        (("230.0.0.1:0",), {}, InvalidPort, "1 to 65535"),
        (("230.0.0.1:x",), {}, InvalidPort, "1 to 65535"),
        (("230.0.0.1",), {"port": "65536"}, InvalidPort, "1 to 65535"),
        (("230.0.0.1:1",), {"port": "2"}, UsageError, "port once"),
        (("230.0.0.1",), {"only6": True}, UsageError, "name an IPv6 group"),
        (("ff12::1",), {"only4": True}, UsageError, "name an IPv4 group"),
        (("232.1.1.1",), {}, UsageError, "--source ADDRESS"),
        (("ff3e::1",), {}, UsageError, "--source ADDRESS"),
        (("232.1.1.1",), {"sources": ("me",)}, UsageError, "IP address"),
        (("232.1.1.1",), {"sources": ("fe80::1",)}, UsageError, "IP version"),
        (("232.1.1.1",), {"sources": ("224.0.0.1",)}, UsageError, "address of a sender"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(
    groups: tuple[str, ...], options: dict[str, object], error: type[UsageError], says: str
) -> None:
    with pytest.raises(error, match=says):
        plan(*groups, **options)  # type: ignore[arg-type] # wrong on purpose


def test_sources_are_kept_for_the_join() -> None:
    assert plan("232.1.1.1", sources=("10.0.0.1", "10.0.0.2")).sources == ("10.0.0.1", "10.0.0.2")


class Kernel:
    """What the kernel counts, here and at all programs together."""

    plan = links = started = SimpleNamespace(groups=(), choices=(), receivers={}, problems=())
    room_text = ()
    kernel_drops = 0
    errors = 0, 0


@pytest.mark.parametrize(
    ("drops", "errors", "told"),
    [
        (5, (5, 0), ["5 datagrams that came faster than they were read (5 in all)"]),
        (5, (0, 5), ["5 datagrams with a wrong checksum (5 in all)"]),
        (5, (3, 2), ["2 datagrams with a wrong checksum (2 in all)", "3 datagrams that came faster"]),
        (5, (5, 9), ["5 datagrams that came faster"]),  # other programs got the damaged ones
        (5, (0, 0), ["5 datagrams that came faster"]),
        (0, (9, 9), []),
    ],
)
def test_drops_are_told_with_their_cause(
    drops: int,
    errors: tuple[int, int],
    told: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kernel = Kernel()
    monkeypatch.setattr(session, "udp_errors", lambda: kernel.errors)
    reporter = Reporter(cast(Session, kernel), quiet=True, verbose=False)
    kernel.errors = 100, 100
    reporter.joined("listening to")
    kernel.kernel_drops, kernel.errors = drops, (100 + errors[0], 100 + errors[1])
    reporter.drops()
    assert capsys.readouterr().err == "", "it looks once a second"
    for _ in range(2):
        reporter.drops(now=True)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(told)
    for line, text in zip(lines, told, strict=True):
        assert text in line


def test_a_flood_of_joins_hides_no_alarm(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        reporter = Reporter(cast(Session, Kernel()), quiet=False, verbose=False)
        for kind, count in (("join", 100), ("alarm", 1), ("gap", 3)):
            for _ in range(count):
                reporter.notice(NoticeItem(kind, kind, None, {}, summary="{} " + kind, count=2))
        reporter.close()

    asyncio.run(main())
    lines = capsys.readouterr().err.splitlines()
    assert lines == [*["mcast: join"] * LINES, "mcast: alarm", "mcast: 200 join, 6 gap in 1 s"]


def test_items_are_shown_in_portions_while_there_is_room() -> None:
    waited = 0

    class Screen:
        async def room(self) -> None:
            nonlocal waited
            waited += 1

    async def main() -> list[int]:
        items = [Item()] * (2 * PORTION + 1)
        return [len(some) async for some in portions(items, Screen())]

    assert asyncio.run(main()) == [PORTION, PORTION, 1]
    assert waited == 3
