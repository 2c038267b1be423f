"""Noticing that an interface has left the network that a group was on."""

from __future__ import annotations

from collections.abc import Iterable

from mcast.net.interface_table import Interface, is_link_local


class Places:
    """The addresses under which this host was on its networks."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[str, ...]] = {}

    def left(self, links: Iterable[Interface]) -> list[int | None]:
        """The interfaces that have none of their addresses of before; [None] if that is so with all of them.

        `links` are the interfaces in use now.
        """
        now = {link.index: addresses for link in links if (addresses := _telling(link))}
        before, self._known = self._known, now
        left = [index for index, known in before.items() if set(known).isdisjoint(now.get(index, ()))]
        return [None] if left and len(left) == len(before) else [*left]


def _telling(link: Interface) -> tuple[str, ...]:
    """Addresses that tell networks apart: link-local ones, made of the hardware's, are the same on all.

    This computer alone is no network: what is said while a cable is out may be told when it is back.
    """
    if link.loopback:
        return ()
    routed = tuple(address for address in link.addresses if not is_link_local(address))
    return routed or link.addresses
