"""A bounded run of every parser over mutated vectors. A failure prints target and seed, and repeats."""

from __future__ import annotations

from random import Random

import pytest

from tests.fuzz.parsers import TARGETS, seeds

ROUNDS = 3_000


def mutate(rng: Random, data: bytes) -> bytes:
    """`data` with a few bytes changed, cut out, doubled or put in."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(changed))
        piece = rng.randbytes(rng.randint(1, 4))
        match rng.randrange(5):
            case 0:
                changed[at : at + 1] = piece[:1]
            case 1:
                del changed[at : at + len(piece)]
            case 2:
                changed[at:at] = piece
            case 3:
                changed[at:at] = changed[at : at + 40]
            case _:
                changed[at : at + 1] = bytes((rng.choice((0, 1, 0x7F, 0x80, 0xFF)),))
    return bytes(changed)


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_escapes(target: str) -> None:
    corpus = seeds(target)
    assert corpus
    for data in corpus:
        TARGETS[target](data)
    for seed in range(ROUNDS):
        rng = Random(seed)
        data = mutate(rng, rng.choice(corpus))
        try:
            TARGETS[target](data)
        except BaseException:
            print(f"target {target}, seed {seed}: {data.hex()}")
            raise
