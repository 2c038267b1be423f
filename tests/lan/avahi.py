"""Avahi on a host of a lab: the daemon, on a message bus of its own, and its commands."""

from __future__ import annotations

import shutil

from tests import lab

PROGRAMS = ("dbus-daemon", "avahi-daemon", "avahi-browse", "avahi-publish")
_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/><allow eavesdrop="true"/><allow own="*"/><allow user="*"/>
  </policy>
</busconfig>
"""
_DAEMON = """[server]
host-name={name}
deny-interfaces=lo
use-ipv4=yes
use-ipv6=yes
[wide-area]
enable-wide-area=no
[publish]
publish-workstation=no
publish-hinfo=no
"""


def missing() -> list[str]:
    """Those of its programs that are not installed."""
    return [
        name for name in PROGRAMS if shutil.which(name, path=lab.namespaces.environment()["PATH"]) is None
    ]


class Avahi:
    """A daemon. What the lab ends ends with it."""

    def __init__(self, host: lab.Host) -> None:
        self.host = host
        directory = host.home / "avahi"
        directory.mkdir()
        self._bus, self._config = directory / "bus", directory / "daemon.conf"
        self._env = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self._bus}"}
        (directory / "bus.conf").write_text(_BUS.format(path=self._bus))
        self._config.write_text(_DAEMON.format(name=host.name))
        host.spawn(["dbus-daemon", "--nofork", "--nopidfile", f"--config-file={directory / 'bus.conf'}"])
        lab.until(self._bus.exists)
        self._daemon = self._start()

    def _start(self) -> lab.Process:
        # Hosts share /run, where each daemon wants to be the only one.
        alone = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh"]
        options = ["--no-drop-root", "--no-chroot", "--no-rlimits", "-f", str(self._config)]
        daemon = self.host.spawn([*alone, "avahi-daemon", *options], env=self._env)
        daemon.wait_for("Server startup complete", stream="stderr")
        return daemon

    def restart(self) -> None:
        """End the daemon and start it again."""
        self._daemon.terminate()
        self._daemon = self._start()

    def browse(self, kind: str) -> lab.Process:
        """`avahi-browse -r -p -k`, which watches."""
        return self.host.spawn(["avahi-browse", "-r", "-p", "-k", kind], env=self._env)

    def found(self, kind: str = "-a") -> str:
        """What `avahi-browse -r -t -p -k` prints."""
        return self.host.run(["avahi-browse", "-r", "-t", "-p", "-k", kind], env=self._env).stdout

    def publish(self, name: str, kind: str, port: int, *texts: str | bytes) -> lab.Process:
        """`avahi-publish -s`, once the name is established."""
        words = ["avahi-publish", "-s", "--", name, kind, str(port), *map(_argument, texts)]
        publisher = self.host.spawn(words, env=self._env)
        publisher.wait_for("Established", stream="stderr")
        return publisher


def _argument(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("utf-8", "surrogateescape")
