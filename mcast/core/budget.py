"""How many signatures are checked a second."""

from __future__ import annotations

from .quota import Bucket, Quotas

KNOWN_SHARE = 0.7
GENUINE = 0.25  # the price of a record's signature that holds, in the name of a known origin; of others 1
ORIGINS = 1024  # origins with a bucket of their own: forged origins push each other out, first in, first out


class Verifications:
    """Budget for signature checks, charged to the origin a datagram claims, never to an address.

    The attack: valid-looking records under made-up or real origins, each costing 100 us to refuse.
    Strangers share
    30 % of the budget; one known origin may use half of the known ones' share, so that forging in one
    victim's name does not starve the others.
    """

    def __init__(self, rate: int, now: float) -> None:
        self._known = Bucket(rate * KNOWN_SHARE, rate * KNOWN_SHARE, now)
        self._strangers = Bucket(rate * (1 - KNOWN_SHARE), rate * (1 - KNOWN_SHARE), now)
        self._half = rate * (1 - KNOWN_SHARE) / 2
        half = rate * KNOWN_SHARE / 2
        self._each = Quotas(half, half, ORIGINS)

    def allow(self, origin: bytes, known: bool, now: float, price: float = 1.0) -> bool:
        """Whether one more signature in the name of `origin` may be checked now; `price`: of a known one."""
        if not known:
            return self._strangers.take(1, now)
        return self._each.of(origin, now).take(price, now, 1.0) and self._known.take(price, now, 1.0)

    def spare(self, now: float) -> bool:
        """Whether half of what strangers may cost at once is left."""
        return self._strangers.level(now) >= self._half

    def forged(self, origin: bytes, known: bool, now: float) -> None:
        """A signature that was taken to be GENUINE did not hold: the rest of its price is due."""
        if known:
            self._each.of(origin, now).spend(1 - GENUINE, now)
            self._known.spend(1 - GENUINE, now)
