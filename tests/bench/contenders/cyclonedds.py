"""CycloneDDS: reliable, multicast for data, keep everything, writers block when a reader is slow."""

from __future__ import annotations

import os
import time
from typing import Any

from tests.bench.contenders.job import Receiving, Sending

# With one interface named, and multicast for data, which the default leaves to loopback and wired ones.
CONFIG = """<CycloneDDS><Domain><General>
<Interfaces><NetworkInterface name="eth0"/></Interfaces><AllowMulticast>true</AllowMulticast>
</General></Domain></CycloneDDS>"""
MEET = 2.0
BLOCK_SECONDS = 10


def _topic() -> tuple[Any, Any, Any, Any]:
    """Participant, topic, quality of service, type."""
    os.environ["CYCLONEDDS_URI"] = CONFIG
    from dataclasses import dataclass

    from cyclonedds.core import Policy, Qos
    from cyclonedds.domain import DomainParticipant
    from cyclonedds.idl import IdlStruct
    from cyclonedds.idl.types import sequence, uint8
    from cyclonedds.topic import Topic
    from cyclonedds.util import duration

    @dataclass
    class Message(IdlStruct):  # type: ignore[misc]  # ships no types
        data: sequence[uint8]

    Message.__annotations__["data"] = sequence[uint8]
    quality = Qos(Policy.Reliability.Reliable(duration(seconds=BLOCK_SECONDS)), Policy.History.KeepAll)
    participant = DomainParticipant(0)
    return participant, Topic(participant, "bench", Message, qos=quality), quality, Message


def send(job: Sending) -> None:
    """Write."""
    from cyclonedds.pub import DataWriter

    participant, topic, quality, message_type = _topic()
    writer = DataWriter(participant, topic, qos=quality)
    time.sleep(MEET)
    job.wait_for_go()
    for message in job.flood():
        writer.write(message_type(data=message))
    job.told()


def receive(job: Receiving) -> None:
    """Take what there is."""
    from cyclonedds.core import InstanceState, ReadCondition, SampleState, ViewState, WaitSet
    from cyclonedds.sub import DataReader
    from cyclonedds.util import duration

    participant, topic, quality, _ = _topic()
    reader = DataReader(participant, topic, qos=quality)
    waiting = WaitSet(participant)
    waiting.attach(ReadCondition(reader, ViewState.Any | SampleState.NotRead | InstanceState.Any))
    job.ready()
    while True:
        waiting.wait(duration(seconds=1))
        while taken := reader.take(N=256):
            job.took([bytes(sample.data) for sample in taken])
