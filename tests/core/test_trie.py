"""The trie against dictionaries of tuples."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_world import sids_of

from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.errors import ArtifactError, ConfigError
from genrec.types import PAD


class SlowTrie:
    """Prefixes as tuples; nodes in the order that the fast one promises: by depth, then lexicographic."""

    def __init__(self, table: SIDTable) -> None:
        rows = [tuple(int(code) for code in row) for row in table.codes]
        self.items: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for item, row in enumerate(rows):
            for depth in range(len(row) + 1):
                self.items[row[:depth]].append(item)
        self.prefixes = sorted(self.items, key=lambda prefix: (len(prefix), prefix))
        self.node = {prefix: number for number, prefix in enumerate(self.prefixes)}

    def codes_below(self, prefix: tuple[int, ...]) -> list[int]:
        return sorted(other[-1] for other in self.prefixes if len(other) == len(prefix) + 1 and other[:-1] == prefix)


@st.composite
def drawn(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, ...]]:
    """Codes and sizes of a table, which is built in the test: beartype draws random numbers, a strategy must not."""
    sizes = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    rows = draw(st.lists(st.tuples(*(st.integers(0, size - 1) for size in sizes)), min_size=1, max_size=25))
    return np.asarray(rows), sizes


@given(drawn())
def test_structure(made: tuple[np.ndarray, tuple[int, ...]]) -> None:
    table = SIDTable(*made)
    trie, slow = PrefixTrie.build(table), SlowTrie(table)
    leaves = [prefix for prefix in slow.prefixes if len(prefix) == table.num_levels]
    assert (trie.num_items, trie.num_nodes, trie.num_leaves) == (table.num_items, len(slow.prefixes), len(leaves))
    assert trie.num_levels == table.num_levels
    assert trie.code.tolist() == [prefix[-1] if prefix else PAD for prefix in slow.prefixes]
    assert trie.num_below(torch.arange(trie.num_nodes)).tolist() == [len(slow.items[prefix]) for prefix in slow.prefixes]
    assert trie.num_ids_below(torch.arange(trie.num_nodes)).tolist() == [
        sum(leaf[: len(prefix)] == prefix for leaf in leaves) for prefix in slow.prefixes
    ]
    assert trie.max_group == max(len(slow.items[leaf]) for leaf in leaves)
    for depth, first in enumerate(trie.level_starts[:-1]):
        assert {len(prefix) for prefix in slow.prefixes[first : trie.level_starts[depth + 1]]} == {depth}
    for item, path in enumerate(trie.paths(torch.arange(table.num_items)).tolist()):
        row = tuple(table.codes[item].tolist())
        assert path == [slow.node[row[:depth]] for depth in range(table.num_levels + 1)]


@given(drawn())
def test_children_and_widths(made: tuple[np.ndarray, tuple[int, ...]]) -> None:
    table = SIDTable(*made)
    trie, slow = PrefixTrie.build(table), SlowTrie(table)
    for level in range(table.num_levels):
        prefixes = [prefix for prefix in slow.prefixes if len(prefix) == level]
        families = [slow.codes_below(prefix) for prefix in prefixes]
        assert trie.widths[level] == max(map(len, families))
        child, codes, real = trie.children(torch.tensor([slow.node[prefix] for prefix in prefixes]), level)
        assert child.shape == (len(prefixes), trie.widths[level])  # all prefixes of the level are there
        assert ((codes >= 0) & (codes < table.sizes[level])).all(), "padding stays in range for gathers"
        for row, (prefix, family) in enumerate(zip(prefixes, families, strict=True)):
            assert codes[row][real[row]].tolist() == family
            assert child[row][real[row]].tolist() == [slow.node[(*prefix, code)] for code in family]


@given(drawn())
def test_advance_finds_every_child_and_no_other(made: tuple[np.ndarray, tuple[int, ...]]) -> None:
    table = SIDTable(*made)
    trie, slow = PrefixTrie.build(table), SlowTrie(table)
    for level, size in enumerate(table.sizes):
        prefixes = [prefix for prefix in slow.prefixes if len(prefix) == level]
        nodes = torch.tensor([slow.node[prefix] for prefix in prefixes]).unsqueeze(1).expand(-1, size)
        found = trie.advance(nodes, torch.arange(size).expand(len(prefixes), -1), level)
        assert found.tolist() == [[slow.node.get((*prefix, code), PAD) for code in range(size)] for prefix in prefixes]


@given(drawn())
def test_items_of_leaves(made: tuple[np.ndarray, tuple[int, ...]]) -> None:
    table = SIDTable(*made)
    trie, slow = PrefixTrie.build(table), SlowTrie(table)
    items, count = trie.items_of(torch.arange(trie.level_starts[-2], trie.level_starts[-1]))
    groups = [slow.items[prefix] for prefix in slow.prefixes if len(prefix) == table.num_levels]
    assert count.tolist() == [len(group) for group in groups]
    assert items.tolist() == [group + [PAD] * (trie.max_group - len(group)) for group in groups]


@given(drawn(), st.data())
def test_counting_what_is_allowed(made: tuple[np.ndarray, tuple[int, ...]], data: st.DataObject) -> None:
    table = SIDTable(*made)
    trie, slow = PrefixTrie.build(table), SlowTrie(table)
    allowed = data.draw(st.lists(st.booleans(), min_size=table.num_items, max_size=table.num_items))
    below = trie.num_below(torch.arange(trie.num_nodes), trie.tally(torch.tensor(allowed)))
    assert below.tolist() == [sum(allowed[item] for item in slow.items[prefix]) for prefix in slow.prefixes]


def test_one_item_one_level() -> None:
    trie = PrefixTrie.build(SIDTable(np.array([[2]]), (4,)))
    assert (trie.num_nodes, trie.num_leaves, trie.widths, trie.level_starts) == (2, 1, (1,), (0, 1, 2))
    assert trie.items_of(torch.tensor([1]))[0].tolist() == [[0]]


def test_all_items_share_one_id() -> None:
    trie = PrefixTrie.build(SIDTable(np.zeros((4, 3), np.int64), (2, 2, 2)))
    assert (trie.num_leaves, trie.max_group) == (1, 4)
    assert trie.items_of(torch.tensor([3]))[0].tolist() == [[0, 1, 2, 3]]


def test_ids_too_long_for_one_integer_sort_the_same() -> None:
    """Above 62 bits the codes are sorted column by column."""
    short = sids_of(100, (40, 40, 40), distinct=False)
    wide = SIDTable(short.codes, (2**31 - 1,) * 3)
    assert torch.equal(PrefixTrie.build(short).leaf_of, PrefixTrie.build(wide).leaf_of)
    assert torch.equal(PrefixTrie.build(short).items, PrefixTrie.build(wide).items)


@given(drawn())
def test_a_saved_trie_is_the_same(made: tuple[np.ndarray, tuple[int, ...]]) -> None:
    trie = PrefixTrie.build(SIDTable(*made))
    with tempfile.TemporaryDirectory() as folder:
        trie.save(Path(folder))
        again = PrefixTrie.load(Path(folder))
        for field in fields(trie):
            one, other = getattr(trie, field.name), getattr(again, field.name)
            assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_no_saved_trie(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"trie\.safetensors.*no such file"):
        PrefixTrie.load(tmp_path)


def test_empty_catalogue() -> None:
    with pytest.raises(ConfigError, match="got 0"):
        PrefixTrie.build(SIDTable(np.zeros((0, 2), np.int64), (4, 4)))


@given(drawn())
def test_sums_below(made: tuple[np.ndarray, tuple[int, ...]]) -> None:
    table = SIDTable(*made)
    trie, slow = PrefixTrie.build(table), SlowTrie(table)
    values = torch.arange(table.num_items, dtype=torch.float32).unsqueeze(1) * torch.tensor([1.0, -2.0])
    sums = torch.cat(trie.sums_below(values[trie.items]))
    for prefix, node in slow.node.items():
        if prefix:
            below = [item for item, row in enumerate(table.codes.tolist()) if tuple(row[: len(prefix)]) == prefix]
            assert torch.allclose(sums[node - 1], values[below].sum(0))
