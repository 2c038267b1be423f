"""`python -m tests.bench.contenders MODULE send|receive JOB`."""

from __future__ import annotations

import importlib
import json
import sys

from tests.bench.contenders.job import Receiving, Sending


def main() -> None:
    """Do the job that the command line tells."""
    name, role, text = sys.argv[1:4]
    module = importlib.import_module(f"tests.bench.contenders.{name}")
    if role == "send":
        module.send(Sending(json.loads(text)))
    else:
        module.receive(Receiving(json.loads(text)))


if __name__ == "__main__":
    main()
