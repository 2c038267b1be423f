"""Bulk transfers: any bytes decode to a value or a reason, and any report or item is taken without harm."""

from __future__ import annotations

from random import Random
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from mcast.core.bulk.receiver import BulkReceiver
from mcast.core.bulk.sender import BulkSender
from mcast.core.events import Notice, PeerId
from mcast.runtime.bulk import board
from mcast.settings import Settings
from mcast.wire.bulk import (
    BulkNotice,
    BulkReport,
    Entry,
    NoticeKind,
    decode_report,
    encode_report,
)
from tests.fuzz.parsers import bulk
from tests.simulation.bulk import BLOCK, Item, MemoryNodes, blocks_of, items_of, make_tree, rows_of

DATA = Random(1).randbytes(BLOCK * 40)
TREE = make_tree(DATA)
u32 = st.integers(0, 2**32 - 1)
entries = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 2**32 - 1), st.integers(0, 9)).filter(
        lambda one: one[1:] != (0, 0)
    ),
    max_size=5,
)


@given(st.binary(max_size=200))
def test_any_bytes_decode_to_a_value_or_a_reason(data: bytes) -> None:
    bulk(data)


@st.composite
def reports(draw: st.DrawFn) -> BulkReport:
    """Well-formed reports, whatever they say."""
    missing = []
    for level in draw(st.lists(st.integers(0, 8), max_size=4)):
        listed, following = [], 0
        for skip, mask, run in draw(entries):
            listed.append(Entry(following + skip, 0 if run else mask, run))
            following += skip + max(1, run)
        missing.append((level, tuple(listed)))
    pair = st.tuples(u32, u32)
    token, flags = draw(st.binary(min_size=8, max_size=8)), draw(st.integers(0, 3))
    return BulkReport(token, flags, draw(u32), draw(pair), draw(pair), draw(u32), draw(u32), tuple(missing))


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from(NoticeKind), st.integers(0, 20), st.integers(0, 3)),
        max_size=100,
    )
)
def test_a_board_is_bounded_whatever_is_said(said: list[tuple[int, NoticeKind, int, int]]) -> None:
    with patch.object(board, "TRANSFERS", 8), patch.object(board, "PARTIES", 5):
        made = board.Board(lambda one: one.origin[:1].decode(), lambda root: root[0] == 1, lambda *_: None)
        for who, kind, root, size in said:
            peer_id = PeerId(b"%c%015d" % (97 + who % 4, who), 1)
            notice = BulkNotice(kind, bytes([root]) * 32, 7, size, 0, 1400)
            made.note(notice, Notice(*peer_id, 1, b"", 0), 0.0)
            assert len(made._known) <= 8
            for known in made._known.values():
                assert len(known.parties) <= 5
                assert known.offers.keys() <= known.parties.keys()
        assert len({(offer.id, offer.peer_id) for offer in made.offers()}) == len(made.offers())


@given(reports())
def test_reports_come_back(report: BulkReport) -> None:
    assert decode_report(encode_report(report)) == report


@given(st.lists(st.tuples(st.integers(0, 2), reports(), st.floats(0, 2)), max_size=12))
def test_a_sender_takes_any_reports(said: list[tuple[int, BulkReport, float]]) -> None:
    sender = BulkSender(TREE.layout, Settings(), Random(1), lambda _: 2**32 - 1, 0.0, complete=lambda: True)
    now = 0.0
    for who, report, pause in said:
        now += pause
        sender.on_report(PeerId(bytes([who]) * 16, 1), who, report, now)
        sender.statuses(now)
        while (batch := sender.take(now)) is not None:
            assert all(TREE.layout.exists(level, index) for level, index in items_of(batch))
        assert sender.when(now) >= 0


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 50), st.sampled_from(["right", "forged", "short"])),
        max_size=80,
    )
)
def test_a_receiver_gives_out_what_is_right_and_once(came: list[tuple[int, int, str]]) -> None:
    receiver = BulkReceiver(TREE.layout, TREE.root, MemoryNodes(TREE.layout), 0.0)
    given_out: set[int] = set()
    for serial, (level, index, kind) in enumerate(came):
        data = b""
        if kind == "right" and TREE.layout.exists(level, index):
            data = TREE.read(level, index) if level else DATA[index * BLOCK : (index + 1) * BLOCK]
        elif kind == "forged":
            data = bytes(BLOCK)
        items = [Item(level, index, serial, False, data)]
        for block, content in blocks_of(receiver.take("anyone", rows_of(items), 0.0)):
            assert content == DATA[block * BLOCK : (block + 1) * BLOCK]
            assert block not in given_out
            given_out.add(block)
    assert receiver.left == TREE.layout.blocks - len(given_out)
