"""The raw blocking socket: a datagram a message, no order, no repair, no seal. All are compared with it."""

from __future__ import annotations

import socket
import struct

from tests.bench.contenders.job import LOSSY_SILENCE, Receiving, Sending

GROUP, PORT = "239.255.77.1", 7701
BUFFER = 8 << 20


def request() -> bytes:
    """struct ip_mreqn of ip(7): group, address, interface."""
    index = socket.if_nametoindex("eth0")
    return struct.pack("@4s4si", socket.inet_aton(GROUP), bytes(4), index)


def send(job: Sending) -> None:
    """Send as fast as the kernel takes it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request())
        sender.connect((GROUP, PORT))
        push = sender.send
        job.wait_for_go()
        for message in job.flood():
            push(message)
        job.told()


def receive(job: Receiving) -> None:
    """Count datagrams."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        receiver.bind((GROUP, PORT))
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request())
        pull, took = receiver.recv, job.took_one
        job.silence = LOSSY_SILENCE
        job.ready()
        while True:
            pull(2048)
            took()
