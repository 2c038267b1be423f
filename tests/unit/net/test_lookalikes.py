"""Names that can be taken for each other."""

from __future__ import annotations

import pytest

from mcast.net.lookalikes import looks


@pytest.mark.parametrize(
    ("name", "other", "alike"),
    [
        ("Bill", "BiII", True),
        ("modern", "rnodern", True),
        ("paypal", "\u0440\u0430\u0443\u0440\u0430l", True),
        ("l1", "1l", True),
        ("ada", "ad\u00e1", False),
        ("student", "student2", False),
        ("\u674e\u660e", "\u674e\u670b", False),
        ("\u200b", "\u200c", False),
        ("\u05d5\u05d3", "\u05d5\u05d3", True),
    ],
)
def test_names_that_a_reader_takes_for_each_other(name: str, other: str, alike: bool) -> None:
    assert bool(looks(name) & looks(other)) == alike
