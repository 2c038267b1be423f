"""Secrets and fingerprints as words that can be read aloud: each of 256 words stands for a byte."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib import resources

from mcast.errors import UsageError

# No two words begin with the same four letters.
_LIST = """
acorn album amber anchor angle anvil apple apron arrow atlas autumn award axle bacon badge bagel bamboo
banjo barley basket beach beaver bell berry bicycle biscuit blanket blossom bottle branch bread brick
bridge bronze brush bubble bucket bugle butter cabin cactus camel candle canoe canvas carbon carpet
carrot castle cedar cello chalk cherry chess circle citrus cliff clover cobalt coffee comet copper coral
cotton cousin cradle crayon cricket crown crystal curtain cushion daisy dancer denim desert diamond
dolphin donkey dragon drum eagle easel echo eclipse elbow ember engine falcon feather fern fiddle finger
flame flute forest fossil fountain fox galaxy garden garlic gecko ginger glacier glove goblet gravel
guitar hammer harbor hazel helmet heron hinge honey hotel hunter icicle igloo indigo island ivory jacket
jaguar jasmine jelly jewel jigsaw jungle kayak kernel kettle kitten koala ladder ladle lagoon lantern
lemon leopard lilac linen lizard lobster lotus lunar magnet maize mango maple marble market meadow melon
meteor mirror monkey mosaic motor mountain muffin museum nectar needle nickel noodle nutmeg oasis ocean
olive onion opera orbit orchid otter oyster paddle palace panda paper parrot pebble pencil pepper piano
pickle pigeon pillow pirate planet pocket pony potato prism pumpkin puzzle quartz quilt rabbit radar
radio raven ribbon river robin rocket saddle salmon sandal scarf sesame shadow shell silver sketch
sparrow spider spoon squid stable sugar summer sunset tablet temple thunder ticket tiger timber tomato
trumpet tulip tunnel turtle umbrella urchin valley vanilla velvet violin volcano waffle walnut walrus
whistle willow window winter yacht yarn yellow yogurt zebra zipper zone
"""
WORDS = tuple(_LIST.split())
_BY_START = {word[:4]: number for number, word in enumerate(WORDS)}


def encode(data: bytes, purpose: bytes = b"") -> str:
    """A word for each byte, and a last one by which a mistake is noticed, and words for another purpose."""
    return " ".join(WORDS[byte] for byte in (*data, _check(data, purpose)))


def decode(text: str, size: int, purpose: bytes = b"") -> bytes:
    """The `size` bytes of words that encode() made; their first four letters are enough.

    UsageError if a word is wrong or missing, or if they were made for another purpose.
    """
    words = _split(text)
    for word in words:
        if word[:4] not in _BY_START:
            raise UsageError(f"{word!r} is not one of the words of mcast", "check its spelling")
    if len(words) != size + 1:
        raise UsageError(f"these are {len(words)} words, not {size + 1}", "type all words of the key")
    *data, check = (_BY_START[word[:4]] for word in words)
    if check != _check(bytes(data), purpose):
        raise UsageError("one of the words is wrong, or their order", "compare them with the original")
    return bytes(data)


def known(text: str) -> int:
    """How many of the words of a text can be those of a key."""
    return sum(word[:4] in _BY_START for word in _split(text))


def _split(text: str) -> list[str]:
    return text.casefold().replace("-", " ").replace(",", " ").split()


def fingerprint(data: bytes, count: int) -> str:
    """`count` words, at most 32, by which two people compare something without reading all of it."""
    return " ".join(WORDS[byte] for byte in sha256(b"mcast fingerprint" + data).digest()[:count])


def code(data: bytes) -> str:
    """Words for `data`, of a list of 2,048: eleven bits each."""
    bits, size = int.from_bytes(data, "big"), len(data) * 8
    count = size // 11
    return " ".join(_bip39()[bits >> (size - 11 * (at + 1)) & 2047] for at in range(count))


@cache
def _bip39() -> tuple[str, ...]:
    text = resources.files(__package__).joinpath("bip39.txt").read_text("utf-8")
    return tuple(word for line in text.splitlines() if not line.startswith("#") for word in line.split())


def _check(data: bytes, purpose: bytes) -> int:
    return sha256(b"mcast words" + purpose + data).digest()[0]
