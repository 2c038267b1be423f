"""What is only installed if it is wanted: pip calls it an extra."""

from __future__ import annotations

from importlib.util import find_spec

from mcast.errors import UsageError

_NEEDS = {
    "dnssd": ("--dnssd", {"zeroconf": "zeroconf"}),
    "ssdp": ("--ssdp", {"async_upnp_client": "async-upnp-client"}),
    "qr": ("--qr", {"segno": "segno"}),
    "web": ("the web page", {"aiohttp": "aiohttp", "segno": "segno"}),
}
"""What each extra is for, and the package that each of its modules is in."""


def require(extra: str) -> None:
    """UsageError that says what to install, unless it is there."""
    purpose, modules = _NEEDS[extra]
    for module, package in modules.items():
        if find_spec(module) is None:
            problem = f"{purpose} needs the package {package}"
            raise UsageError(problem, f"install it with: pip install 'mcast-lan[{extra}]'")
