"""Network interfaces: list them (`read`), choose which to use (`choose`), follow changes (`watch`).

    links = interfaces.default()                    # the interfaces to use now, the preferred one first

    async for table in interfaces.watch():          # now, and after every change
        for choice in interfaces.choose(table): ...

`choose` is a pure function. docs/decisions/0002-interface-policy.md explains the policy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from .errors import UnknownInterface
from .net.interface_monitor import Watcher, watch
from .net.interface_table import Interface, Table, canonical, is_link_local, read

__all__ = ["Choice", "Interface", "Table", "Watcher", "choose", "default", "find", "read", "watch"]


class Choice(msgspec.Struct, frozen=True):
    """Whether `interface` is used, in which IP `versions` (none if unused), and the reason in a few words."""

    interface: Interface
    used: bool
    reason: str
    versions: tuple[int, ...] = ()


EXCLUDED = "left out with -x"
"""Why an excluded interface is not used."""


def choose(
    table: Iterable[Interface],
    requested: Sequence[str] = (),
    *,
    versions: Sequence[int] = (4, 6),
    absent_ok: bool = False,
    excluded: Sequence[str] = (),
) -> tuple[Choice, ...]:
    """Decide for every interface of `table` whether to use it. The preferred ones come first.

    requested: names or addresses (IPv6 with or without `%zone`). These interfaces are used whatever their
    kind, in this order, unless they are down or have no address of a wanted version. Empty: choose suitable
    interfaces, the one with the best default route first. versions: the IP versions wanted. absent_ok: accept
    a requested interface that does not exist, instead of raising UnknownInterface: it is among the choices,
    with the number 0 and without addresses. excluded: names or addresses of interfaces that are not used,
    requested or not.
    """
    ordered = sorted(table, key=lambda i: (not i.default_route, i.rank, i.index, i.name))
    barred = {interface for name in excluded for interface in find(ordered, name)}
    if requested:
        choices = _choose_requested(ordered, requested, versions, absent_ok)
        return tuple(_bar(choice) if choice.interface in barred else choice for choice in choices)
    choices = tuple(_judge(interface, versions) for interface in ordered)
    choices = tuple(_bar(choice) if choice.interface in barred else choice for choice in choices)
    if any(choice.used for choice in choices) or any(_leads_out(interface) for interface in ordered):
        return choices
    return _with_loopback(choices, versions)


def _bar(choice: Choice) -> Choice:
    return Choice(choice.interface, False, EXCLUDED)


def default(requested: Sequence[str] = (), *, versions: Sequence[int] = (4, 6)) -> tuple[Interface, ...]:
    """The interfaces to use now, the preferred one first. Arguments as in choose().

    Raises UnknownInterface for a requested one that does not exist, SocketError if the system cannot answer.
    """
    return tuple(choice.interface for choice in choose(read(), requested, versions=versions) if choice.used)


def find(table: Iterable[Interface], wanted: str) -> tuple[Interface, ...]:
    """The interfaces with the name or address `wanted` (with or without `%zone`)."""
    table = tuple(table)
    exact = tuple(i for i in table if i.name == wanted)
    alike = tuple(i for i in table if i.name.casefold() == wanted.casefold())
    address, _, zone = wanted.partition("%")
    text = canonical(address)
    by_address = tuple(i for i in table if text in i.addresses and zone in ("", i.name, str(i.index)))
    return exact or alike or by_address


_BRIDGES = {
    "docker": r"\d+|_gwbridge",
    "br-": r"[0-9a-f]{12}",
    "virbr": r"\d+(-nic)?",
    "cni": r".*",
    "podman": r".*",
    "lxcbr": r"\d+",
    "lxdbr": r"\d+",
    "incusbr": r"\d+",
    "veth": r"[0-9a-f]{7,}",
    "cali": r"[0-9a-f]{11}",
    "flannel.": r".*",
    "cilium_": r".*",
    "vethernet (": r"(wsl|default switch|nat)\b.*",
}
_APPLES = {"awdl": r"\d+", "llw": r"\d+"}
"""Prefix of the name in lower case, and a pattern for the rest, compiled only where the prefix fits."""


def _is_inner(interface: Interface, kinds: Mapping[str, str]) -> bool:
    """Whether the name is one of `kinds`. Never with a default route: the LAN of a KVM host is a bridge."""
    if interface.default_route:
        return False
    name = interface.name.lower()
    return any(name.startswith(head) and re.fullmatch(kinds[head], name[len(head) :]) for head in kinds)


_REFUSALS: tuple[tuple[str, Callable[[Interface], bool]], ...] = (
    ("loopback", lambda i: i.loopback),
    ("tunnel", lambda i: i.tunnel),
    ("container bridge", lambda i: _is_inner(i, _BRIDGES)),
    ("Apple peer-to-peer link", lambda i: _is_inner(i, _APPLES)),
    ("part of a bridge or bond", lambda i: i.enslaved),
    ("down", lambda i: not i.up),
    ("multicast switched off", lambda i: not i.multicast),
)


def _judge(interface: Interface, versions: Sequence[int]) -> Choice:
    refusal = next((reason for reason, applies in _REFUSALS if applies(interface)), None)
    if refusal:
        return Choice(interface, False, refusal)
    return _use(interface, versions, "default route" if interface.default_route else "up, multicast")


def _use(interface: Interface, versions: Sequence[int], reason: str) -> Choice:
    """Use it in those of `versions` that it supports; give the reason if there are none."""
    able = tuple(version for version in versions if version in interface.versions)
    if able:
        return Choice(interface, True, reason, able)
    if not interface.addresses:
        return Choice(interface, False, "no address")
    if any(interface.address(version) for version in versions):
        return Choice(interface, False, "no IPv6 multicast on loopback")
    return Choice(interface, False, "no " + " or ".join(f"IPv{version}" for version in versions) + " address")


def _leads_out(interface: Interface) -> bool:
    """Whether other computers could be reached over it.

    Container networks end in this computer. Tunnels always have a link-local address, even without a VPN
    (utun on macOS). Neither counts.
    """
    if not interface.up or interface.loopback or interface.enslaved:
        return False
    if _is_inner(interface, _BRIDGES) or _is_inner(interface, _APPLES):
        return False
    return any(not (interface.tunnel and is_link_local(text)) for text in interface.addresses)


def _with_loopback(choices: Sequence[Choice], versions: Sequence[int]) -> tuple[Choice, ...]:
    """No interface leads out of this computer: let its own programs find each other over loopback."""
    result = list(choices)
    for place, choice in enumerate(choices):
        if choice.interface.loopback and choice.interface.up:
            result[place] = _use(choice.interface, versions, "only this computer")
            break
    return tuple(result)


def _choose_requested(
    ordered: Sequence[Interface], requested: Sequence[str], versions: Sequence[int], absent_ok: bool
) -> tuple[Choice, ...]:
    asked: dict[Interface, Choice] = {}
    for wanted in requested:
        found = find(ordered, wanted)
        if not found and not absent_ok:
            known = ", ".join(interface.name for interface in ordered) or "none"
            raise UnknownInterface(f"no interface {wanted!r} on this computer", f"known are: {known}")
        asked.update({interface: _judge_requested(interface, versions) for interface in found})
        if not found:
            absent = Interface(wanted, 0, up=False)
            asked[absent] = Choice(absent, False, "does not exist")
    others = [Choice(interface, False, "not asked for") for interface in ordered if interface not in asked]
    return (*asked.values(), *others)


def _judge_requested(interface: Interface, versions: Sequence[int]) -> Choice:
    if not interface.up:
        return Choice(interface, False, "down")
    return _use(interface, versions, "asked for with -i")
