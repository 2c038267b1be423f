"""C instead of Python, without order, repair and seal: what the machine can move at most.

The job's `pack`: as many messages in a datagram as mcast puts there, the kernel cuts and joins (UDP_SEGMENT,
UDP_GRO). Without: a datagram a message, 64 a call (sendmmsg, recvmmsg).
"""

from __future__ import annotations

import ctypes
import socket
import struct
import subprocess
import tempfile
from pathlib import Path

from tests.bench.contenders.job import LOSSY_SILENCE, Receiving, Sending
from tests.bench.contenders.raw import BUFFER, GROUP, PORT, request

ROOM = 1400
"""Bytes of messages in a datagram."""
TURN = 0.05
"""Seconds between two looks at what came."""
UDP_GRO = 104


def library() -> ctypes.CDLL:
    """limit.c, compiled. CalledProcessError or FileNotFoundError where there is no compiler."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "limit.so"
        source = Path(__file__).with_suffix(".c")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(made), str(source)], check=True)
        loaded = ctypes.CDLL(str(made))
    loaded.push.restype = loaded.pull.restype = ctypes.c_long
    loaded.push.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_double]
    loaded.pull.argtypes = [ctypes.c_int, ctypes.c_double, ctypes.POINTER(ctypes.c_double)]
    return loaded


def send(job: Sending) -> None:
    """Send as fast as the kernel takes it."""
    loops, pack = library(), bool(job.options["pack"])
    together = max(1, ROOM // job.size) if pack else 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request())
        sender.connect((GROUP, PORT))
        job.wait_for_go()
        done = loops.push(sender.fileno(), together * job.size, pack, job.options["seconds"])
        if done < 0:
            raise OSError("the kernel refused to send")
        job.sent = done * together
        job.told()


def receive(job: Receiving) -> None:
    """Count bytes."""
    loops, last = library(), ctypes.c_double()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, 20_000))
        if job.options["pack"]:
            receiver.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        receiver.bind((GROUP, PORT))
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request())
        job.silence = LOSSY_SILENCE
        job.ready()
        while True:
            if came := loops.pull(receiver.fileno(), TURN, ctypes.byref(last)):
                job.received += came // job.size
                job.last = last.value
