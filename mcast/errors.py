"""Every error mcast raises on purpose, and what each one means.

    McastError                      something went wrong; `remedy` says what to do
    ├── UsageError (ValueError)     the caller asked for what cannot be
    │   ├── InvalidGroup            not a multicast group
    │   ├── InvalidPort             not a UDP port one can use
    │   ├── UnknownInterface        no interface of that name or address
    │   └── MessageTooLarge         does not fit what may be sent at once
    ├── GroupClosed                 the group was closed, or belongs to another process
    ├── NoInterface                 nothing to send or receive on
    └── SocketError (OSError)       the operating system refused; see multicast.explain()
        ├── PermissionRefused       … because this user or a firewall may not
        └── PortTaken               … because another program holds the port alone

A misuse of the library raises; a misbehaving peer never does: it is counted.
"""

from __future__ import annotations


class McastError(Exception):
    """Base of all errors of mcast. `remedy` is what to do about it, one line, possibly empty."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}: {self.remedy}" if self.remedy else self.message


class UsageError(McastError, ValueError):
    """The caller asked for something that cannot be."""


class InvalidGroup(UsageError):
    """The address is not a multicast group."""


class InvalidPort(UsageError):
    """The port is not between 1 and 65535."""


class UnknownInterface(UsageError):
    """There is no interface of that name or address on this computer."""


class MessageTooLarge(UsageError):
    """The message does not fit into what may be sent at once."""


class GroupClosed(McastError):
    """The group has been closed, or this process was forked off the one that joined it."""


class NoInterface(McastError):
    """There is no network interface to send or receive on."""


class SocketError(McastError, OSError):
    """The operating system refused a socket operation. `errno` is its number."""

    def __init__(self, message: str, remedy: str = "", errno: int | None = None) -> None:
        super().__init__(message, remedy)
        self.errno = errno


class PermissionRefused(SocketError):
    """This user, a sandbox or a firewall may not do that."""


class PortTaken(SocketError):
    """Another program holds the port and does not share it."""
