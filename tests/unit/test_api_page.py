"""docs/api.md says what the docstrings say."""

from __future__ import annotations

import mcast
from tests import api_page


def test_the_page_is_up_to_date() -> None:
    assert api_page.PAGE.read_text(encoding="utf-8") == api_page.page(), "run: python -m tests.api_page"


def test_every_public_name_is_on_it() -> None:
    text = api_page.page()
    modules = api_page.LEFT_OUT["mcast"] | {"__version__"}
    assert [name for name in mcast.__all__ if f"### mcast.{name}\n" not in text and name not in modules] == []
