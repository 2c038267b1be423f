"""Lines made of fields, and how avahi-browse(1) writes names and TXT records."""

from __future__ import annotations

import pytest

from mcast.cli.formats import LineFormat, avahi_name, avahi_texts
from mcast.errors import UsageError

LETTERS = {"n": "name", "a": "address"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("%n %a", "ada -"),
        ("%%n%n%%", "%nada%"),
        (r"%n\t%a\n", "ada\t-\n"),
        (r"\\n \x", r"\n \x"),
        ("", ""),
        ("plain", "plain"),
    ],
)
def test_fields_are_filled_in(text: str, line: str) -> None:
    assert LineFormat(text, LETTERS).line({"name": "ada", "address": ""}) == line


def test_a_value_is_not_read_as_a_format() -> None:
    assert LineFormat("%n", LETTERS).line({"name": r"%a \t", "address": "x"}) == r"%a \t"


@pytest.mark.parametrize("text", ["%x", "%", "%n %", "100%!"])
def test_an_unknown_field_is_an_error_that_lists_the_known_ones(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not a field: known are %n \(name\), %a \(address\) and %%"):
        LineFormat(text, LETTERS)


def test_names_and_tags_are_written_as_avahi_does() -> None:
    # As avahi-browse 0.8 printed them for a service of avahi-publish with this name and these records.
    name = 'A b.c;d "q" \\x_-é/é'
    assert avahi_name(name) == r"A\032b\.c\059d\032\034q\034\032\\x_-\195\169\047\195\169"
    texts = [b"bin=\x01\n\t\xff", "e=é".encode(), b"path=/a b", b'q=x"\\y', b"empty"]
    assert avahi_texts(texts) == r'"bin=\001\010\009\255" "e=\195\169" "path=/a b" "q=x\"\\y" "empty"'
    assert avahi_texts([]) == ""
