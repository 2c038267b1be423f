"""Looks for words in every frame of an interface: `capture INTERFACE WORD…`. Ends with its standard input.

Prints `ready`, then as JSON how many frames there were and which words were in one of them.
"""

from __future__ import annotations

import json
import select
import socket
import sys

ALL = 3
"""ETH_P_ALL: what comes and what leaves."""


def main() -> None:
    """Look until standard input ends."""
    words = [word.encode() for word in sys.argv[2:]]
    frames, found = 0, set[bytes]()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL)) as capture:
        capture.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        capture.bind((sys.argv[1], ALL))
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([capture, sys.stdin], [], [])
            if capture not in ready:
                break
            frame = capture.recv(1 << 17)
            frames += 1
            found.update(word for word in words if word in frame)
    print(json.dumps({"frames": frames, "found": sorted(word.decode() for word in found)}), flush=True)


if __name__ == "__main__":
    main()
