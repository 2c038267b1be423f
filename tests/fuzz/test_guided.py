"""A short, bounded run of the coverage-guided fuzzer over every target; scripts/fuzz runs longer ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import engine
from tests.fuzz.parsers import TARGETS
from tests.fuzz.test_parsers import mutate
from tests.lab.programs import REPOSITORY

ROUNDS = 400


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("target", "runs"), [("engine", 300), *((name, 3000) for name in TARGETS)])
def test_guided(target: str, runs: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.guided", target, str(tmp_path / "corpus")]
    done = subprocess.run(
        [*command, f"-atheris_runs={runs}", "-seed=1", "-timeout=20"],
        capture_output=True,
        text=True,
        timeout=360,
        check=False,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "INITED" in done.stderr


def test_the_engine_survives_mutated_conversations() -> None:
    corpus = engine.seeds()
    assert len(corpus) > 5
    for seed in range(ROUNDS):
        rng = Random(seed)
        data = mutate(rng, rng.choice(corpus))
        try:
            engine.engine(data)
        except BaseException:
            print(f"seed {seed}: {data.hex()}")
            raise
