"""The parts of an engine that have to do with what was said before, side by side."""

from __future__ import annotations

from mcast.settings import Settings

from .digests import Digests, News
from .generator import Generator
from .holdings import Catalogue
from .quota import Bucket
from .recall import Recall
from .serving import Serving
from .syncing import Syncing
from .trickle import Trickle
from .whereabouts import Whereabouts

QUIET = 1.0  # seconds without a record after which all members should hold the same
PATIENCE = 10.0  # seconds after which they are compared although records keep coming
ANSWERS, AT_ONCE = 50, 50  # requests a second heeded in all; they are unsigned, so anybody's flood
DIGESTS = 1024  # digests remembered


class Past:
    """A part of State."""

    def __init__(
        self, generator: Generator, settings: Settings, last: int | None, since: float | None, now: float
    ) -> None:
        self.trickle = Trickle(generator, settings.digest_shortest, settings.digest_longest)
        self.digests = Digests(DIGESTS, 2 * settings.digest_longest)
        self.news = News(QUIET, PATIENCE)
        self.syncing = Syncing(generator)
        self.serving = Serving()
        self.recall = Recall(last, since, now)
        self.whereabouts = Whereabouts()
        self.answers = Bucket(ANSWERS, AT_ONCE, now)
        self.pace = Bucket(settings.history_pace, settings.burst, now)
        self.catalogue: tuple[tuple[int, int, int, bool], Catalogue, float] | None = None
