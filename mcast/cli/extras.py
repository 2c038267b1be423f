"""What is only installed if it is wanted: pip calls it an extra."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from mcast.errors import UsageError

_NEEDS = {
    "dnssd": ("--dnssd", {"zeroconf": "zeroconf"}),
    "notify": ("a notification", {"desktop_notifier": "desktop-notifier"}),
    "ssdp": ("--ssdp", {"async_upnp_client": "async-upnp-client", "defusedxml": "defusedxml"}),
    "qr": ("--qr", {"segno": "segno"}),
    "web": ("the web page", {"aiohttp": "aiohttp", "segno": "segno"}),
}
"""What each extra is for, and the package that each of its modules is in."""


def require(extra: str) -> None:
    """UsageError that says what to install, unless it is there."""
    purpose, modules = _NEEDS[extra]
    for module, package in modules.items():
        if find_spec(module) is None:
            raise UsageError(f"{purpose} needs the package {package}", f"install it with: {command(extra)}")


def command(extra: str) -> str:
    """The command that installs the packages of an extra beside this mcast, however that was installed."""
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    return f"{python} -m pip install {' '.join(_NEEDS[extra][1].values())}"
