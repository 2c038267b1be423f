"""Who is meant by a name."""

from __future__ import annotations

import pytest

from mcast.cli.private import NobodyThere, _only, addressed, matching
from mcast.core.events import PeerId, PeerView
from mcast.errors import UsageError


def peer(name: str, origin: str) -> PeerView:
    return PeerView(PeerId(bytes.fromhex(origin.ljust(32, "0")), 1), name, b"", None, True, False, 0, 0, b"")


PEERS = [peer("bob", "cbf5"), peer("bob", "a3f2"), peer("ada", "7d20a1"), peer("7d20", "1234")]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("bob", ["cbf5", "a3f2"]),
        ("bob·cbf5", ["cbf5"]),
        ("bob·c", ["cbf5"]),
        ("bob·7d20", []),
        ("cbf5", ["cbf5"]),
        ("CBF5", ["cbf5"]),
        ("7d20", ["7d20a1", "1234"]),  # a name does not go before an identity
        ("7d20a", ["7d20a1"]),
        ("7d2", []),  # too short for an identity
        ("eve", []),
    ],
)
def test_names_labels_and_identities(name: str, found: list[str]) -> None:
    assert [peer.peer_id.origin.hex().rstrip("0") for peer in matching(PEERS, name)] == found


def test_whom_a_line_is_for() -> None:
    peers = [*PEERS, peer("ada lovelace", "9999"), peer("eve", "8888"), peer("mary ann", "7777")]
    for line, origin, text in (
        ("bob·a3f2 hello  there", "a3f2", "hello  there"),
        ("ada hello", "7d20a1", "hello"),
        ("ada lovelace·9999 hello", "9999", "hello"),
        ("ada·7d20 lovelace hello", "7d20a1", "lovelace hello"),
        ("mary ann hello", "7777", "hello"),
        ("8888 ada lovelace hello", "8888", "ada lovelace hello"),
    ):
        found = addressed(peers, line)
        assert found is not None
        assert (found[0].peer_id.origin.hex().rstrip("0"), found[1]) == (origin, text)
    for line in ("", "eve", "eve "):
        assert addressed(peers, line) is None
    with pytest.raises(NobodyThere, match="nobody here is called 'zoe'"):
        addressed(peers, "zoe hello")
    for line in ("bob hello", "ada lovelace hello", "7d20 hello"):
        with pytest.raises(UsageError, match="can be "):
            addressed(peers, line)


def test_one_peer_must_be_meant() -> None:
    assert _only(PEERS[:1], "bob") == PEERS[0]
    with pytest.raises(NobodyThere, match="nobody here is called 'eve'"):
        _only([], "eve")
    with pytest.raises(UsageError, match=r"'bob' can be bob·a3f2, bob·cbf5: give more"):
        _only(PEERS[:2], "bob")
