from __future__ import annotations

from random import Random

import pytest

from mcast.core.bulk.layout import make_layout
from mcast.core.bulk.tree import HashTree, TreeBuilder
from tests.simulation.bulk import MemoryNodes, make_tree

DATA = Random(1).randbytes(1024 * 70 + 5)


def test_it_does_not_matter_how_the_bytes_come() -> None:
    layout = make_layout(len(DATA), 0, 1024)
    builder = TreeBuilder(layout, MemoryNodes(layout))
    for at in range(0, len(DATA), 333):
        builder.feed(DATA[at : at + 333])
    assert builder.tree().root == make_tree(DATA, block=1024).root


def test_another_size_is_refused() -> None:
    layout = make_layout(len(DATA), 0, 1024)
    for data in (DATA[:-1], DATA[:-1000]):
        builder = TreeBuilder(layout, MemoryNodes(layout))
        builder.feed(data)
        with pytest.raises(ValueError, match="another size"):
            builder.tree()


def test_an_empty_stream_has_a_root() -> None:
    assert make_tree(b"").root != make_tree(b"x").root


def test_nodes_are_checked_from_the_root_down() -> None:
    tree = make_tree(DATA, block=1024)
    known = HashTree(tree.layout, tree.root, MemoryNodes(tree.layout))
    top, leaf = tree.read(2, 0), tree.read(1, 1)
    assert known.check(1, 1, leaf) is None
    assert known.check(0, 40, DATA[40 * 1024 : 41 * 1024]) is None
    assert known.check(2, 0, bytes(96)) is False
    assert known.check(2, 0, top[:-1]) is False
    assert known.check(2, 0, top) is True
    known.put(2, 0, top)
    assert known.check(1, 1, leaf) is True
    assert known.check(1, 0, leaf) is False
    assert known.node(1, 1) is None
    assert not known.knows(1, 1)
    known.put(1, 1, leaf)
    assert known.knows(1, 1)
    assert list(known.known(0, 3)) == [1]
    assert list(known.known(2, 3)) == []
    assert known.node(1, 1) == leaf == known.node(1, 1)
    assert known.check(0, 40, DATA[40 * 1024 : 41 * 1024]) is True
    assert known.check(0, 40, bytes(1024)) is False
