"""What is only installed if it is wanted: pip calls it an extra."""

from __future__ import annotations

from importlib.util import find_spec

from mcast.errors import UsageError

_PACKAGES = {"dnssd": ("zeroconf", "zeroconf"), "ssdp": ("async_upnp_client", "async-upnp-client")}
"""The module of each extra, and the package that it is in."""


def require(extra: str) -> None:
    """UsageError that says what to install, unless it is there."""
    module, package = _PACKAGES[extra]
    if find_spec(module) is None:
        problem = f"--{extra} needs the package {package}"
        raise UsageError(problem, f"install it with: pip install 'mcast-lan[{extra}]'")
