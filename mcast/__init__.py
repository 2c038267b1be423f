"""Group chat and discovery for the LAN over UDP multicast."""

from . import aio, multicast, settings
from .blocking import Group, Receipt, join
from .errors import (
    GroupClosed,
    InvalidGroup,
    InvalidPort,
    McastError,
    MessageTooLarge,
    NoInterface,
    PermissionRefused,
    PortTaken,
    SocketError,
    UnknownInterface,
    UsageError,
)
from .events import (
    Alarm,
    Event,
    GapAbandoned,
    GapFilled,
    GapOpened,
    InterfacesChanged,
    Message,
    Overflow,
    PeerJoined,
    PeerLeft,
    PeerUpdated,
    PeerView,
    PlainText,
)
from .settings import Settings

__version__ = "0.1.0"
__all__ = [
    "Alarm",
    "Event",
    "GapAbandoned",
    "GapFilled",
    "GapOpened",
    "Group",
    "GroupClosed",
    "InterfacesChanged",
    "InvalidGroup",
    "InvalidPort",
    "McastError",
    "Message",
    "MessageTooLarge",
    "NoInterface",
    "Overflow",
    "PeerJoined",
    "PeerLeft",
    "PeerUpdated",
    "PeerView",
    "PermissionRefused",
    "PlainText",
    "PortTaken",
    "Receipt",
    "Settings",
    "SocketError",
    "UnknownInterface",
    "UsageError",
    "__version__",
    "aio",
    "join",
    "multicast",
    "settings",
]
