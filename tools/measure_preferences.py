"""What words do to the lists of a finished run: a preference on five axes, at several strengths, and what each costs.

    python tools/measure_preferences.py runs/NAME [--columns title,categories] [--strengths 0,1,2,4] [--users 1000] [--out FILE]

The run is one with ``events.text``, trained and no more (``genrec train``). All words are those of items (``ItemWords``, as the
run drew them, or of ``--columns``), so no language model writes anything; the users are a seeded sample of those with a test
target. The axes are those of Mender's benchmark, made of item words here (docs/methods/mender.md):

    recommendation, matched  some words of the target's item: an oracle, since the words know the target
    recommendation, latest   some words of the last item of the history: what is known beforehand
    fine steering            words of the item whose words are most like the target's; wanted is that item
    coarse steering          words of an item that has no word of the history or the target; wanted is that item
    sentiment                the word that most items of the list without a request carry: asked for, and at minus the strength
                             asked not to be there; followed is the share of users with more such items for it than against it
    contrary                 a word that neither the history nor the target carries
    consolidation            words of the last three items of the history and of the target at once: which of them matters?

Figures of ten items: ``wanted`` is the recall of the wanted item (of the target, where no other is named), ``carry``
the share of the list with a word of the text, ``ndcg`` that of the ordinary target, which is the price, and ``change`` its mean
difference from the lists without a request, with the half-width of its 95 % interval. Strength 0 is these lists.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genrec.core.dataset import Dataset, users_with_targets
from genrec.data.lib.item_words import ItemWords
from genrec.decoding.guided import Guided
from genrec.decoding.lib.batch_decoding import recommend_users
from genrec.decoding.trie_beam import TrieBeam
from genrec.engine.components import instantiate
from genrec.engine.runs import Run
from genrec.errors import ConfigError
from genrec.model.item_vectors import FITTED
from genrec.model.trained import Model
from genrec.protocols import text_part
from genrec.types import ITEM_IDX, PAD, RANK, USER_IDX

K = 10


@dataclass(frozen=True)
class Asked:
    """What one axis asks for.

    Args:
        axis: its name.
        texts: of each user; empty where there is nothing to ask for.
        wanted: int [users], the item that should be listed.
    """

    axis: str
    texts: Sequence[str]
    wanted: np.ndarray


@dataclass(frozen=True)
class Row:
    """The figures of one axis at one strength, means over the users; ``followed`` of sentiment alone."""

    axis: str
    strength: float
    wanted: float
    carry: float
    ndcg: float
    change: float
    half_width: float
    followed: float | None = None


class Listener:
    """A trained run that lists items for texts.

    Args:
        run: finished up to its generator.
        num_users: of the sample.
        columns: of the items, whose words are asked for; None: as the run drew them.
        beams, batch: of the search.
    """

    def __init__(
        self, run: Run, num_users: int, columns: Sequence[str] | None = None, beams: int = 20, batch: int = 64
    ) -> None:
        self.dataset = Dataset.load(run.artifact("dataset").path)
        parts: dict[str, Path] = {
            kind: run.artifact(kind).path for kind in ("generator", "sids", "encoder") if kind in run.kinds
        }
        self.model = Model.open(parts)
        encoder = instantiate(run.config["encoder"], "encoder")
        self.encoder = text_part(encoder)
        encoder.restore(parts["encoder"] / FITTED)
        self.exclude_seen = run.config["recommend"]["exclude_seen"]
        self.beams, self.batch = beams, batch
        self.words = words_of(run.config["events"], columns)
        self.of_items = self.words.of_items(self.dataset.items)
        self.sets = list(map(frozenset, self.of_items))
        self.histories, targets = self.dataset.histories("test"), self.dataset.targets("test")
        users = users_with_targets(self.dataset, "test")
        self.users = np.sort(np.random.default_rng(0).permutation(users)[:num_users])
        self.targets = targets.item_idx[targets.offsets[self.users]]

    def history(self, user: int) -> np.ndarray:
        """The items of a user's history."""
        start = self.histories.offsets[user]
        return np.asarray(self.histories.item_idx[start : start + self.histories.lengths[user]])

    def lists(self, texts: Sequence[str], strength: float) -> np.ndarray:
        """Int [users, K]: the items that are listed for the texts; ``PAD`` behind short lists."""
        histories = self.histories
        if strength and any(texts):
            words = sorted(set(texts) - {""})
            vectors = np.asarray(self.encoder.encode_texts(words), np.float32)
            row = {word: number for number, word in enumerate(words)}
            given = np.zeros((self.dataset.num_users, vectors.shape[1]), np.float32)
            for user, text in zip(self.users, texts, strict=True):
                given[user] = vectors[row[text]] if text else 0
            histories = replace(histories, given=given)
        strategy = Guided(strategy=TrieBeam(num_beams=self.beams), strength=strength)
        table = recommend_users(
            self.model.generator,
            strategy,
            self.model.trie,
            histories,
            self.users,
            k=K,
            exclude_seen=self.exclude_seen,
            batch_size=self.batch,
        )
        listed = np.full((len(self.users), K), PAD)
        listed[np.searchsorted(self.users, table[USER_IDX].to_numpy()), table[RANK].to_numpy() - 1] = table[ITEM_IDX].to_numpy()
        return listed

    def axes(self, plain: np.ndarray) -> list[Asked]:
        """What the axes ask for.

        Args:
            plain: int [users, K], the lists without a request.
        """
        chance = np.random.default_rng(1)
        last = np.array([self.history(user)[-1] for user in self.users])
        alike, apart = self._alike(), np.array([self._apart(user, target, chance) for user, target in self._pairs()])
        of_target, of_last = self._drawn(self.targets, 1), self._drawn(last, 2)
        return [
            Asked("recommendation, matched", of_target, self.targets),
            Asked("recommendation, latest", of_last, self.targets),
            Asked("fine steering", self._drawn(alike, 3), alike),
            Asked("coarse steering", self._drawn(apart, 4), apart),
            Asked("sentiment", [self._commonest(items) for items in plain], self.targets),
            Asked("contrary", [self._contrary(user, target, chance) for user, target in self._pairs()], self.targets),
            Asked("consolidation", [self._several(*row) for row in zip(self.users, of_target, strict=True)], self.targets),
        ]

    def carry(self, listed: np.ndarray, texts: Sequence[str]) -> np.ndarray:
        """Float [users]: the share of each list with a word of the text, NaN where there is no text."""
        shares = np.full(len(texts), np.nan)
        for row, text in enumerate(texts):
            if text:
                shares[row] = np.mean([item != PAD and not self.sets[item].isdisjoint(text.split()) for item in listed[row]])
        return shares

    def _pairs(self) -> list[tuple[int, int]]:
        return list(zip(self.users.tolist(), self.targets.tolist(), strict=True))

    def _drawn(self, items: np.ndarray, seed: int) -> list[str]:
        drawn = replace(self.words, seed=self.words.seed + seed, asked_share=1.0).drawn(self.dataset.items, items)
        return drawn.fill_null("").to_list()

    def _alike(self) -> np.ndarray:
        """The item whose words are most like those of each target, by the encoder; not the target, not in the history."""
        vectors = np.asarray(self.encoder.encode_texts([" ".join(words) for words in self.of_items]), np.float32)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        alike = []
        for user, target in self._pairs():
            scores = vectors @ vectors[target]
            scores[self.history(user)] = scores[target] = -np.inf
            alike.append(int(scores.argmax()))
        return np.array(alike)

    def _near(self, user: int, target: int) -> set[str]:
        return set(self.sets[target]).union(*(self.sets[item] for item in self.history(user)))

    def _apart(self, user: int, target: int, chance: np.random.Generator) -> int:
        near = self._near(user, target)
        order = chance.permutation(len(self.sets)).tolist()
        return next((item for item in order if self.sets[item] and near.isdisjoint(self.sets[item])), order[0])

    def _contrary(self, user: int, target: int, chance: np.random.Generator) -> str:
        words = sorted(self.sets[self._apart(user, target, chance)])
        return str(chance.choice(words)) if words else ""

    def _commonest(self, items: np.ndarray) -> str:
        counts = Counter(word for item in items if item != PAD for word in self.of_items[item])
        return min(counts, key=lambda word: (-counts[word], word), default="")

    def _several(self, user: int, of_target: str) -> str:
        recent = self._drawn(self.history(user)[-3:], 5)
        return " ".join(dict.fromkeys(" ".join([*recent, of_target]).split()))


def words_of(events: Mapping[str, Any], columns: Sequence[str] | None) -> ItemWords:
    """How words of items are drawn.

    Raises:
        ConfigError: when the run heard no texts, or heard a column of texts and no columns of the items are named.
    """
    text = instantiate(events, "events").text
    if not text:
        raise ConfigError("events.text", expected="a run that heard texts", got="none", fix="train with events=item_words")
    if columns:
        return ItemWords(columns=columns)
    if not isinstance(text, ItemWords):
        fix = "name the columns of the items whose words are asked for"
        raise ConfigError("--columns", expected="columns of the items", got="none", fix=fix)
    return text


def ndcg(listed: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Float [users]: NDCG of lists with one right item each.

    >>> ndcg(np.array([[3, 5], [3, 5], [3, 5]]), np.array([3, 5, 7])).round(3).tolist()
    [1.0, 0.631, 0.0]
    """
    return ((listed == wanted[:, None]) / np.log2(np.arange(listed.shape[1]) + 2)).sum(1)


def measure(listener: Listener, strengths: Sequence[float]) -> list[Row]:
    """The figures of all axes at all strengths; lists without a request are made once."""
    plain = listener.lists([""] * len(listener.users), 0.0)
    before = ndcg(plain, listener.targets)
    rows = []
    for asked in listener.axes(plain):
        for strength in strengths:
            listed = listener.lists(asked.texts, strength) if strength else plain
            carry, followed = listener.carry(listed, asked.texts), None
            if asked.axis == "sentiment" and strength:
                against = listener.carry(listener.lists(asked.texts, -strength), asked.texts)
                followed = float(np.mean((carry > against)[~np.isnan(carry)]))
            change = (after := ndcg(listed, listener.targets)) - before
            row = Row(
                asked.axis,
                strength,
                wanted=float((listed == asked.wanted[:, None]).any(1).mean()),
                carry=float(np.nanmean(carry)),
                ndcg=float(after.mean()),
                change=float(change.mean()),
                half_width=float(1.96 * change.std() / np.sqrt(len(change))),
                followed=followed,
            )
            print(line(row), flush=True)
            rows.append(row)
    return rows


def line(row: Row) -> str:
    """One row of the table."""
    followed = "" if row.followed is None else f"{row.followed:9.1%}"
    figures = f"{row.wanted:7.4f} {row.carry:7.1%} {row.ndcg:7.4f} {row.change:+8.4f} +-{row.half_width:.4f} {followed}"
    return f"{row.axis:<24} {row.strength:>8g} {figures}".rstrip()


def main() -> None:
    """Prints a row for each axis and strength."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--columns", help="of the items, whose words are asked for (default: as the run drew them)")
    parser.add_argument("--strengths", default="0,1,2,4")
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--beams", type=int, default=20)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a json file for the rows, too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    columns = options.columns.split(",") if options.columns else None
    listener = Listener(Run(options.run), options.users, columns, beams=options.beams, batch=options.batch)
    print(f"{len(listener.users):,} users, test, lists of {K}")
    print(f"{'axis':<24} {'strength':>8} {'wanted':>7} {'carry':>7} {'ndcg':>7} {'change':>8} {'':8} {'followed':>8}")
    rows = measure(listener, [float(word) for word in options.strengths.split(",")])
    if options.out:
        options.out.write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
