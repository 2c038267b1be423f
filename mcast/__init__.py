"""Group chat and discovery for the LAN over UDP multicast.

A name's module is imported when the name is first used: `import mcast` alone costs nothing.
"""

TYPE_CHECKING = False
"""As typing.TYPE_CHECKING. The import takes long, and Ctrl-C shows a traceback until mcast.__main__ runs."""

if TYPE_CHECKING:
    from . import aio, multicast, settings
    from .blocking import (
        Acks,
        Announcer,
        Browser,
        Group,
        PrivateReceipt,
        Receipt,
        Service,
        announce,
        browse,
        join,
    )
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
        Answer,
        Event,
        Fallback,
        GapAbandoned,
        GapFilled,
        GapOpened,
        GapStalled,
        InterfacesChanged,
        Message,
        OtherRoom,
        OtherVersion,
        Overflow,
        PeerJoined,
        PeerLeft,
        PeerUpdated,
        PeerView,
        PlainText,
        PrivateMessage,
        Question,
        RoomView,
        SendingResumed,
        SendingStopped,
        SlowMember,
        TransferOffered,
        TransferWithdrawn,
        Unheard,
    )
    from .runtime.asking import Answers
    from .settings import Settings

__version__ = "0.1.0"
__all__ = [
    "Acks",
    "Alarm",
    "Announcer",
    "Answer",
    "Answers",
    "Browser",
    "Event",
    "Fallback",
    "GapAbandoned",
    "GapFilled",
    "GapOpened",
    "GapStalled",
    "Group",
    "GroupClosed",
    "InterfacesChanged",
    "InvalidGroup",
    "InvalidPort",
    "McastError",
    "Message",
    "MessageTooLarge",
    "NoInterface",
    "OtherRoom",
    "OtherVersion",
    "Overflow",
    "PeerJoined",
    "PeerLeft",
    "PeerUpdated",
    "PeerView",
    "PermissionRefused",
    "PlainText",
    "PortTaken",
    "PrivateMessage",
    "PrivateReceipt",
    "Question",
    "Receipt",
    "RoomView",
    "SendingResumed",
    "SendingStopped",
    "Service",
    "Settings",
    "SlowMember",
    "SocketError",
    "TransferOffered",
    "TransferWithdrawn",
    "Unheard",
    "UnknownInterface",
    "UsageError",
    "__version__",
    "aio",
    "announce",
    "browse",
    "join",
    "multicast",
    "settings",
]

if not TYPE_CHECKING:  # for a type checker every name would exist

    def __getattr__(name):
        """Called by Python for a name not yet here (PEP 562): from the lightest module that has it."""
        import importlib

        if name in ("aio", "multicast", "settings"):
            return importlib.import_module(f".{name}", __name__)
        for home in ("errors", "settings", "events", "runtime.asking", "blocking") if name in __all__ else ():
            module = importlib.import_module(f".{home}", __name__)
            if hasattr(module, name):
                return globals().setdefault(name, getattr(module, name))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})


del TYPE_CHECKING
