"""Coverage-guided fuzzing: python -m tests.fuzz.guided TARGET CORPUS_DIRECTORY [libFuzzer options]

The corpus begins with valid inputs; a crash is written beside it and printed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mcast.core", "mcast.wire", "mcast.crypto"]):
    from tests.fuzz import engine, parsers


def main(arguments: list[str]) -> None:
    """Fuzz until the options say stop."""
    target, corpus = arguments[0], Path(arguments[1])
    corpus.mkdir(parents=True, exist_ok=True)
    run = {"engine": engine.engine, **parsers.TARGETS}[target]
    seeds = engine.seeds() if target == "engine" else parsers.seeds(target)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], str(corpus), f"-artifact_prefix={corpus}/", *arguments[2:]], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
