"""What `mcast` exports, what its types say, what it costs to import, and what join() refuses."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

import mcast
from mcast import aio, blocking, errors, events, settings

REPOSITORY = Path(__file__).parents[2]

USER = """
import asyncio
import mcast

def blocking() -> None:
    with mcast.join("230.0.0.1", name="ada", settings=mcast.settings.wifi()) as group:
        reveal_type(group.send("hello"))
        reveal_type(group.send(b"").id)
        reveal_type(group.send(b"").confirmed(2, timeout=1))
        reveal_type(group.send("hello", to=group.peers()[0]))
        reveal_type(group.ask("who is up?").answers[0].text)
        reveal_type(next(group.messages(timeout=5)).text)
        reveal_type(group.send(b"").acked(["bob"], timeout=1))
        for event in group.events():
            if isinstance(event, mcast.PeerJoined):
                reveal_type(event.peer)
        reveal_type(group.peers())
        reveal_type(group.stats())
        group.send(5)

async def main() -> None:
    async with mcast.aio.join("230.0.0.1") as group:
        reveal_type(await group.send(b"x"))
        reveal_type((await group.send(b"x", to=group.peers()[0])).delivered)
        async for batch in group.batches():
            reveal_type(batch[0])
        async for message in group.messages(timeout=1.5):
            reveal_type(message.data)
"""

REVEALED = [
    "mcast.blocking.Receipt",
    "str",
    "bool",
    "mcast.blocking.PrivateReceipt",
    "str | None",
    "str | None",
    "mcast.runtime.group.Acks",
    "mcast.core.events.PeerView",
    "list[mcast.core.events.PeerView]",
    "dict[str, int]",
    "mcast.runtime.group.Receipt",
    "bool | None",
    "mcast.core.events.Message | mcast.core.events.PrivateMessage",
    "bytes",
]


@pytest.mark.timeout(400)
def test_the_types_say_what_comes_back(tmp_path: Path) -> None:
    program = tmp_path / "user.py"
    program.write_text(USER)
    options = ["--strict", "--no-error-summary", "--config-file=", f"--cache-dir={tmp_path / 'cache'}"]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(program)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
        timeout=360,
    )
    lines = [line for line in checked.stdout.splitlines() if line.startswith(str(program))]
    notes = [line.partition("Revealed type is ")[2].strip('"') for line in lines if ": note: Rev" in line]
    assert len(notes) == len(REVEALED), checked.stdout
    for note, wanted in zip(notes, REVEALED, strict=True):
        assert note.replace("builtins.", "").startswith(wanted), note
    (wrong,) = [line for line in lines if ": error: " in line]
    assert 'matches argument type "int"' in wrong


def test_all_is_what_is_exported() -> None:
    public = {name for name in vars(mcast) if not name.startswith("_")}
    submodules = {name for name, value in vars(mcast).items() if inspect.ismodule(value)}
    assert list(mcast.__all__) == sorted(mcast.__all__)
    assert public - submodules <= set(mcast.__all__)
    assert {"aio", "multicast", "settings", "__version__"} <= set(mcast.__all__)
    assert all(hasattr(mcast, name) for name in mcast.__all__)


def test_every_event_and_every_error_is_exported() -> None:
    kinds = {kind.__name__ for kind in vars(errors).values() if inspect.isclass(kind)}
    assert kinds | set(events.__all__) <= set(mcast.__all__)


def test_every_export_and_every_public_method_is_documented() -> None:
    for name in mcast.__all__:
        value = getattr(mcast, name)
        if inspect.isclass(value) or inspect.isfunction(value) or inspect.ismodule(value):
            assert value.__doc__, name
    for kind in (mcast.Group, mcast.Receipt, aio.Group, aio.Receipt):
        for name, member in vars(kind).items():
            if not name.startswith("_") and (callable(member) or isinstance(member, property)):
                assert member.__doc__, f"{kind.__module__}.{kind.__name__}.{name}"


def test_both_apis_take_the_same() -> None:
    def taken(function: Any) -> dict[str, Any]:
        return {name: (p.kind, p.default) for name, p in inspect.signature(function).parameters.items()}

    assert taken(blocking.join) == taken(aio.join)
    for name in ("send", "peers", "stats", "announce", "close"):
        assert taken(getattr(blocking.Group, name)) == taken(getattr(aio.Group, name)), name
    promised = {"send", "events", "messages", "batches", "peers", "stats", "close", "announce", "peer_id"}
    assert promised <= set(dir(blocking.Group)) & set(dir(aio.Group))


def test_importing_loads_no_command_line() -> None:
    code = "import sys, mcast; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", code],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=True,
    )
    assert loaded.stderr == ""
    assert not {"typer", "prompt_toolkit", "rich", "click", "sqlite3", "zeroconf"} & set(
        loaded.stdout.split()
    )


def test_settings_reach_the_group() -> None:
    group = aio.join("239.0.0.1", gap_timeout=2.5, settings=mcast.settings.wifi())
    assert group._options.settings == msgspec.structs.replace(settings.wifi(), gap_timeout=2.5)
    assert aio.join("239.0.0.1")._options.settings == settings.lan()
    assert aio.join("239.0.0.1", gap_timeout=0)._options.settings.gap_timeout == 0
    assert mcast.Settings is settings.Settings


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"group": "10.0.0.1"}, errors.InvalidGroup, "not a multicast group"),
        ({"group": "nonsense"}, errors.InvalidGroup, "nonsense"),
        ({"group": 5}, errors.UsageError, "group must be text"),
        ({"group": "239.0.0.1:0"}, errors.InvalidPort, "port"),
        ({"port": 0}, errors.InvalidPort, "'0' is not a port"),
        ({"port": 65536}, errors.InvalidPort, "'65536'"),
        ({"port": -1}, errors.InvalidPort, "'-1'"),
        ({"group": "239.0.0.1:5", "port": 6}, errors.UsageError, "says port 5"),
        ({"versions": ()}, errors.UsageError, "not IP versions"),
        ({"versions": (5,)}, errors.UsageError, "not IP versions"),
        ({"group": "239.0.0.1", "versions": (6,)}, errors.UsageError, "not an IPv6 group"),
        ({"interfaces": "eth0"}, errors.UsageError, "list of text"),
        ({"interfaces": [1]}, errors.UsageError, "list of text"),
        ({"sources": "10.0.0.1"}, errors.UsageError, "list of text"),
        ({"services": "_http._tcp"}, errors.UsageError, "list of text"),
        ({"services": [":80"]}, errors.UsageError, "is not a service"),
        ({"services": ["_http._tcp:99999"]}, errors.InvalidPort, "99999"),
        ({"tags": {"k": "v" * 256}}, errors.UsageError, "do not fit"),
        ({"tags": {"k": 5}}, errors.UsageError, "do not fit"),
        ({"tags": {f"k{n}": "v" * 200 for n in range(20)}}, errors.UsageError, "do not fit"),
        ({"ttl": 256}, errors.UsageError, "not a TTL"),
        ({"ttl": -1}, errors.UsageError, "not a TTL"),
        ({"name": "n" * 65}, errors.UsageError, "at most 64 bytes"),
        ({"name": "ü" * 33}, errors.UsageError, "at most 64 bytes"),
        ({"name": 5}, errors.UsageError, "not a valid name"),
        ({"name": "\ud800"}, errors.UsageError, "surrogate"),
        ({"room": "r" * 256}, errors.UsageError, "at most 255 bytes"),
        ({"room": None}, errors.UsageError, "room"),
        ({"key": b"short"}, errors.UsageError, "32 bytes, not 5"),
        ({"key": "k" * 32}, errors.UsageError, "32 bytes, not str"),
        ({"key": bytes(32), "room_id": b"x"}, errors.UsageError, "16 bytes, not 1"),
        ({"room_id": bytes(16)}, errors.UsageError, "needs a key"),
        ({"identity": b"x"}, errors.UsageError, "32 bytes, not 1"),
        ({"identity": b""}, errors.UsageError, "32 bytes, not 0"),
        ({"incarnation": 0}, errors.UsageError, "not an incarnation"),
        ({"incarnation": 1 << 64}, errors.UsageError, "not an incarnation"),
        ({"machine": b"x"}, errors.UsageError, "8 bytes, not 1"),
        ({"gap_timeout": -1.0}, errors.UsageError, "negative"),
        ({"settings": {}}, errors.UsageError, "mcast.settings"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_what_cannot_be_is_refused_before_a_socket_opens(
    options: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as raised:
        aio.join(**options)
    assert type(raised.value) is kind
    assert words in str(raised.value)
    with pytest.raises(kind):
        mcast.join(**options)


def test_importing_alone_loads_no_module_of_ours() -> None:
    code = (
        "import sys, mcast; print(*(name for name in sys.modules if name.startswith(('mcast', 'asyncio'))))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    assert loaded.stdout.split() == ["mcast"]


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'mcast' has no attribute 'jion'"):
        mcast.jion  # type: ignore[attr-defined]  # noqa: B018 - it is not there
