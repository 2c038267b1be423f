"""What a file from the network is called here."""

from __future__ import annotations

import pytest

from mcast.files.names import Siblings, is_safe, local_name, place, shortened, wire_name


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("Grüße 🌍.txt", "Grüße 🌍.txt"),
        ("a\\b", "a%5Cb"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), "caf%E9"),
    ],
)
def test_any_name_of_a_file_can_be_sent(name: str, there: str) -> None:
    assert wire_name(name) == there
    assert is_safe(there)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "\\", "c:\\x", "a\0", "x" * 256, "ä" * 128])
def test_what_is_no_single_name_is_not_safe(name: str) -> None:
    assert not is_safe(name)


@pytest.mark.parametrize("name", ["a", "...", "x" * 255, "a b", ".profile", "c:"])
def test_single_names_are_safe(name: str) -> None:
    assert is_safe(name)


@pytest.mark.parametrize(
    ("name", "here"),
    [
        ("report (final).pdf", "report (final).pdf"),
        ("a:b?.txt", "a:b?.txt"),
        ("two\nlines", "two_lines"),
        ("\x1b[31mred", "_[31mred"),
        ("photo\u202egpj.exe", "photo_gpj.exe"),
        ("zero\u200bwidth", "zero_width"),
        ("CON", "_CON"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("aux .txt", "_aux .txt"),
        ("com¹", "_com¹"),
        ("console", "console"),
        ("trailing. .", "trailing___"),
        ("...", "___"),
        (".profile", "_profile"),
        (" ", "_"),
    ],
)
def test_a_name_is_shown_as_it_is_and_is_no_trap(name: str, here: str) -> None:
    assert local_name(name, top=True, windows=False) == here


def test_hidden_files_stay_hidden_below_a_directory() -> None:
    assert local_name(".gitignore", top=False, windows=False) == ".gitignore"


def test_windows_gets_names_that_it_can_store() -> None:
    assert local_name('a:b<c>"|?*', top=True, windows=True) == "a_b_c_____"


def test_a_name_that_became_too_long_is_shortened() -> None:
    assert local_name("NUL." + "x" * 251, top=True, windows=False) == "_NUL." + "x" * 250
    assert shortened("ä" * 127, " (2)") == "ä" * 125 + " (2)"
    assert shortened("x" * 251 + ".jpg", " (12)") == "x" * 246 + " (12).jpg"
    assert shortened(".bashrc", " (2)") == ".bashrc (2)"
    assert shortened("a." + "b" * 100, " (2)") == "a." + "b" * 100 + " (2)"


def added(names: list[str], *, case: bool = True) -> list[str]:
    siblings = Siblings(case=case)
    return [siblings.add(name) for name in names]


def test_equal_names_get_numbers() -> None:
    assert added(["a.txt", "a.txt", "a (2).txt", "a.txt"]) == [
        "a.txt",
        "a (2).txt",
        "a (2) (2).txt",
        "a (3).txt",
    ]


def test_one_name_in_two_normal_forms_gets_a_number() -> None:
    assert added(["é.txt", "e\u0301.txt"]) == ["é.txt", "e\u0301 (2).txt"]


def test_names_that_look_alike_get_a_number() -> None:
    assert added(["paypal.txt", "p\u0430ypal.txt"]) == ["paypal.txt", "p\u0430ypal (2).txt"]
    assert added(["p\u0430ypal.txt", "paypal.txt"]) == ["p\u0430ypal.txt", "paypal (2).txt"]
    assert added(["\u0430", "\u0251"]) == ["\u0430", "\u0251 (2)"]


def test_plain_names_are_left_alone_however_they_look() -> None:
    assert added(["file1", "fileI", "filel", "O", "0"]) == ["file1", "fileI", "filel", "O", "0"]


def test_case_counts_only_where_the_file_system_says_so() -> None:
    assert added(["README", "readme"]) == ["README", "readme"]
    assert added(["README", "readme", "STRASSE", "straße"], case=False) == [
        "README",
        "readme (2)",
        "STRASSE",
        "straße (2)",
    ]


def test_many_equal_names_take_no_quadratic_time() -> None:
    names = added(["same"] * 20_000)
    assert len(set(names)) == 20_000
    assert names[-1] == "same (20000)"


def alike(number: int, digits: str) -> str:
    return "".join(digits[number >> bit & 1] for bit in range(10))


@pytest.mark.parametrize(
    "names",
    [
        [alike(number, "a\u0430") for number in range(1000)],
        [alike(number, "l1") + "\u0430" for number in range(1000)],
        ["x" * 251 + f"{number:04}" for number in range(500) for _ in range(2)],
        ["x" * 245 + f"{number:04}" + end + ".txt" for number in range(500) for end in "a\u0430"],
    ],
    ids=["looks", "plain-looks", "long", "long-looks"],
)
def test_many_names_that_look_alike_take_no_quadratic_time(
    names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = 0

    def clashes(self: Siblings, name: str) -> bool:
        nonlocal looked
        looked += 1
        return original(self, name)

    original = Siblings._clashes
    monkeypatch.setattr(Siblings, "_clashes", clashes)
    there = added(names)
    assert len(set(there)) == 1000
    assert sum("(" in name for name in there) >= 500
    assert looked < 3 * len(names)


def test_places_are_apart_and_keep_what_belongs_together() -> None:
    paths = [("d",), ("d", "NUL"), ("d\u200b", "x"), ("d_",), (".ssh", "authorized_keys"), ("d", "_NUL")]
    assert place(paths) == {
        ("d",): ("d",),
        ("d", "NUL"): ("d", "_NUL"),
        ("d\u200b",): ("d_",),
        ("d\u200b", "x"): ("d_", "x"),
        ("d_",): ("d_ (2)",),
        (".ssh",): ("_ssh",),
        (".ssh", "authorized_keys"): ("_ssh", "authorized_keys"),
        ("d", "_NUL"): ("d", "_NUL (2)"),
    }
