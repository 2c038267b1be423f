"""Try things by hand: `python -m tests.lab` opens a shell on h1; there, `on h2 COMMAND` runs it on h2."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests import lab
from tests.lab.host import Host

_ON = """#!/bin/sh
# on HOST COMMAND...: run a command on another host of this lab
host=$1; shift
unset XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME XDG_CACHE_HOME
HOME={homes}/$host XDG_RUNTIME_DIR={homes}/$host exec ip netns exec "$host" "$@"
"""
_MCAST = """#!/bin/sh
exec {python} -m mcast "$@"
"""


def _shell(host: Host) -> int:
    """A shell on the host, on the terminal we have; its return code."""
    programs = host.lan.directory / "bin"
    programs.mkdir()
    for name, text in (("on", _ON), ("mcast", _MCAST)):
        path = programs / name
        path.write_text(text.format(homes=host.lan.directory, python=sys.executable))
        path.chmod(0o755)
    holder = host.lan.namespaces.holder.pid
    first = Path(f"/proc/{holder}/task/{holder}/children").read_text().split()[0]
    own = os.readlink("/proc/self/ns/user") == os.readlink(f"/proc/{first}/ns/user")
    user = [] if own else ["--user", "--preserve-credentials"]
    enter = ["nsenter", "--target", first, *user, "--mount", "--net", "--pid"]
    env = host.environment()
    env = {
        **env,
        "PATH": f"{programs}:{env['PATH']}",
        "XDG_RUNTIME_DIR": str(host.home),
        "PS1": f"{host.name}$ ",
    }
    shell = ["ip", "netns", "exec", host.name, "sh"]
    return subprocess.run([*enter, *shell], env=env, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("--hosts", type=int, default=3, help="how many hosts (default: 3)")
    parser.add_argument("--loss", type=float, default=0.0, help="percent of UDP that each host loses")
    parser.add_argument("--querier", action="store_true", help="the switch has a querier")
    wanted = parser.parse_args()
    try:
        with lab.Lan(wanted.hosts, querier=wanted.querier) as lan:
            for host in lan.hosts:
                host.loss(wanted.loss)
                print(f"{host.name}  {host.address()}  {host.link_local()}")
            print("This shell is on h1. Elsewhere: on h2 mcast chat. The lab ends with the shell.")
            return _shell(lan.hosts[0])
    except lab.LabError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
