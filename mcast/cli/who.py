"""Who runs a command: profile, name and room key, from options, environment and files."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from mcast.aio import Group, join
from mcast.cli.profiles import Profile, default_name
from mcast.errors import McastError, UsageError
from mcast.runtime.joining import make_room, parse_pair

from .render import note

if TYPE_CHECKING:
    from mcast.cli.key_files import KeyMaterial

Name = Annotated[
    str | None,
    typer.Option("--name", "-n", envvar="MCAST_NAME", metavar="NAME", help="How others see you."),
]
ProfileName = Annotated[
    str, typer.Option("--profile", envvar="MCAST_PROFILE", metavar="NAME", help="Which of your identities.")
]
Room = Annotated[
    str, typer.Option("--room", envvar="MCAST_ROOM", metavar="NAME", help="A room within the group.")
]
KeyFile = Annotated[
    str | None,
    typer.Option(
        "--key-file",
        envvar="MCAST_KEY_FILE",
        metavar="FILE",
        help="File with the room's secret key: who has it is in, who has not cannot read. Or MCAST_KEY.",
    ),
]


class Who(msgspec.Struct, frozen=True):
    """Profile, display name, room and the file with its key."""

    profile: str = "default"
    name: str | None = None
    room: str = ""
    key_file: str | None = None

    def open(self, group: str | None, port: int | None, *, versions: Sequence[int], **options: Any) -> Group:
        """The group to enter, as this identity; the other arguments are those of aio.join()."""
        material = self._key()
        seed, incarnation = self._identity()
        key = material.key if material else None
        room_id = material.room_id if material else None
        room = make_room(parse_pair(group, port, versions), self.room, key, room_id)
        if len(self.room.encode()) > ROOM_NAME_MAX:
            raise UsageError(f"a room's name has at most {ROOM_NAME_MAX} bytes", "choose a shorter one")
        return join(
            group,
            port=port,
            versions=versions,
            room=self.room,
            name=self._name(),
            key=key,
            room_id=room_id,
            identity=seed,
            incarnation=incarnation,
            machine=machine_id(room.id),
            **options,
        )

    def _name(self) -> str:
        name = default_name() if self.name is None else self.name.strip()
        if len(name.encode()) > NAME_MAX or not name:
            problem = f"{name!r} is no name of 1 to {NAME_MAX} bytes"
            raise UsageError(problem, "choose another with --name")
        return name

    def _key(self) -> KeyMaterial | None:
        text = os.environ.get("MCAST_KEY")
        if self.key_file is None and not text:
            return None
        # Only a keyed room waits for what reads keys.
        from mcast.cli.key_files import parse_key, read_key_file

        if self.key_file is not None:
            material, warning = read_key_file(self.key_file)
            if warning:
                note(warning)
            return material
        return parse_key(text or "", "MCAST_KEY")

    def _identity(self) -> tuple[bytes, int]:
        profile = Profile(self.profile)
        try:
            return profile.seed(), _incarnation(profile)
        except McastError as error:
            if isinstance(error, UsageError) or "damaged" in error.message:
                raise
            note(f"{error.message}; going on with an identity for this time only")
            profile = Profile.temporary()
            return profile.seed(), _incarnation(profile)


ROOM_NAME_MAX = 255
NAME_MAX = 64


def _incarnation(profile: Profile) -> int:
    return profile.next_incarnation(time.time(), int.from_bytes(os.urandom(2), "big"))


def machine_id(room_id: bytes) -> bytes:
    """8 bytes that name this computer in one room, and in no two rooms alike (docs/protocol.md)."""
    text = ""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text:
            break
    # Computers without one share no secret worth keeping: zero means unknown.
    return sha256(b"mcast2 machine" + room_id + text.encode()).digest()[:8] if text else bytes(8)
