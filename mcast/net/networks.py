"""Noticing that no network is left of those a group was on."""

from __future__ import annotations

from collections.abc import Iterable

from mcast.net.interface_table import Interface, is_link_local


class Places:
    """The addresses under which this host was on its networks."""

    def __init__(self) -> None:
        self._known: frozenset[tuple[int, str]] = frozenset()

    def left(self, links: Iterable[Interface]) -> bool:
        """Whether none of the addresses of before is left on `links`, the interfaces in use now."""
        now = frozenset((link.index, address) for link in links for address in _telling(link))
        before, self._known = self._known, now
        return bool(before) and before.isdisjoint(now)


def _telling(link: Interface) -> tuple[str, ...]:
    """Addresses that tell networks apart: link-local ones, made of the hardware's, are the same on all.

    This computer alone is no network: what is said while a cable is out may be told when it is back.
    """
    if link.loopback:
        return ()
    routed = tuple(address for address in link.addresses if not is_link_local(address))
    return routed or link.addresses
