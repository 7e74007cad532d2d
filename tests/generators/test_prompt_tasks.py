"""The tasks of P5 and the pictures of UniMP, by hand: who is asked what, and what the answers are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from small_world import OPTIONS, all_targets, batch_of, catalog_of, random_histories, scrambled, sids_of
from torch.nn import functional as F

from genrec.core.event_schema import Column, EventSchema
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.generators.lib.keywords import keywords_of
from genrec.objectives.aligned_cross_entropy import AlignedCrossEntropy

SIDS = sids_of(40, (4, 5, 6))
TRIE = PrefixTrie.build(SIDS)
HISTORIES = random_histories(40, [0, 2, 6])
RATINGS = EventSchema(columns=(Column(name="stars", kind="number", mean=3.0, std=0.5),))
LC_REC, UNIMP = (next(option for option in OPTIONS if option.id == name) for name in ("lc_rec", "unimp"))


def logits_after(generator: Any, text: str, items: list[tuple[str, int]], answer: list[int]) -> torch.Tensor:
    """The model's states behind a text, whose places are items, and an answer: what predicts each token of the answer."""
    tokens = [generator.language_model.tokenizer.bos_token_id]
    for part in text.split("|"):
        rows = [generator.codes[item].tolist() for name, item in items if name == part]
        tokens += [token for row in rows for token in row] if rows else generator.language_model.tokens(part)
    states = generator.language_model(torch.tensor([[*tokens, *answer]]))[0]
    return states[len(tokens) - 1 : -1]


def test_ratings_are_read_from_the_events() -> None:
    """4 stars of the last item, 1 where there are fewer than the words hold; unknown ones are left out."""
    generator = scrambled(LC_REC.build(SIDS, schema=RATINGS, rating_column="stars"))
    batch = batch_of([[3, 6, 17], [9, 2], [5], []])
    stars = torch.full((4, 3), float("nan"))
    stars[0, :3], stars[1, :2] = (torch.tensor([1.0, 2.0, 4.0]) - 3) / 0.5, (torch.tensor([2.0, 5.0]) - 3) / 0.5
    logits, words = generator.rating_logits(replace(batch, columns={"stars": stars}))
    model = generator.language_model
    answers = [[*model.tokens(f" {number}"), model.tokenizer.eos_token_id] for number in (4, 5)]
    assert words.tolist() == [token for answer in answers for token in answer]
    text = "After|a|b| the user rates|c| with"
    expected = model.text_logits(logits_after(generator, text, [("a", 3), ("b", 6), ("c", 17)], answers[0]))
    assert torch.allclose(logits[: len(answers[0])], expected, atol=1e-4)


def test_yes_is_for_the_next_item_alone() -> None:
    generator = scrambled(LC_REC.build(SIDS))
    batch, items = batch_of([[3, 6]] * 200), torch.full((200,), 17)
    asked: list[torch.Tensor] = []
    about = generator._about
    generator._about = lambda batch, items: asked.append(items) or about(batch, items)
    torch.manual_seed(0)
    _, words = generator.yes_no_logits(batch, items)
    model = generator.language_model
    no, yes = model.tokens(" no"), model.tokens(" yes")
    expected = [[*(yes if item == 17 else no), model.tokenizer.eos_token_id] for item in asked[0].tolist()]
    assert words.tolist() == [token for answer in expected for token in answer]
    assert 70 < int((asked[0] == 17).sum()) < 140


def test_the_answer_is_among_the_candidates() -> None:
    generator = scrambled(LC_REC.build(SIDS))
    read: list[torch.Tensor] = []
    codes_of = generator._codes_of
    generator._codes_of = lambda items: read.append(items) or codes_of(items)
    items = torch.tensor([4, 8, 13])
    assert generator.candidates_logits(batch_of(HISTORIES), items).items.tolist() == items.tolist()
    assert read[1].shape == (3, 20)
    assert (read[1] == items.unsqueeze(1)).any(1).all()
    draws = [_choices(generator, items) for _ in range(9)]
    places = {int((row == item).nonzero()[0]) for rows in draws for row, item in zip(rows, items, strict=True)}
    assert len(places) > 5, "not always at one place"


def _choices(generator: Any, items: torch.Tensor) -> torch.Tensor:
    read: list[torch.Tensor] = []
    codes_of = type(generator)._codes_of
    generator._codes_of = lambda items: read.append(items) or codes_of(generator, items)
    generator.candidates_logits(batch_of(HISTORIES), items)
    return read[1]


def test_reasons_are_keywords_that_both_have() -> None:
    generator = scrambled(LC_REC.build(SIDS))
    titles = [title or "" for title in catalog_of(40)["title"].to_list()]
    words, rows, _ = keywords_of(titles, 8)
    history = [3, 17, 9, 2]
    heard = {word for item in history for word in rows[item]}
    items = [item for item in range(40) if heard & set(rows[item])][:4]
    assert items
    expected = [[words[word] for word in rows[item] if word in heard][:3] for item in items]
    silent = next(item for item in range(40) if not heard & set(rows[item]))
    _, answer = generator.reason_logits(batch_of([history] * (len(items) + 1)), torch.tensor([*items, silent]))
    tokenizer = generator.language_model.tokenizer
    written = tokenizer.decode(answer).split(tokenizer.eos_token)
    assert [text.split() for text in written if text.strip()] == expected


def test_ratings_take_a_column() -> None:
    with pytest.raises(ConfigError, match=r"objective\.rating_weight: expected 0 without a column"):
        AlignedCrossEntropy(trie=TRIE, rating_weight=0.1).check(LC_REC.build(SIDS))
    with pytest.raises(ConfigError, match=r"generator\.rating_column: .*stars"):
        LC_REC.build(SIDS, schema=RATINGS, rating_column="starz")
    AlignedCrossEntropy(trie=TRIE, rating_weight=0.1).check(LC_REC.build(SIDS, schema=RATINGS, rating_column="stars"))


def test_a_picture_is_read_by_later_items_alone() -> None:
    generator = scrambled(UNIMP.build(SIDS))
    batch = all_targets([[3, 6, 17]], 40)
    before = generator.target_logits(batch).levels
    generator.item_vectors[6] = F.normalize(torch.ones(generator.item_vectors.shape[1]), dim=0)
    after = generator.target_logits(batch).levels
    for old, new in zip(before, after, strict=True):
        assert torch.allclose(old[:2], new[:2], atol=1e-6), "the item's own codes do not see it"
        assert ((old[2:] - new[2:]).abs().amax(1) > 1e-4).all()


def test_pictures_are_hidden_in_training() -> None:
    generator = UNIMP.build(SIDS, image_dropout=0.5)
    codes = torch.zeros(200, 5, 3, 32)
    items = torch.full((200, 5), 7)
    generator.train()
    torch.manual_seed(0)
    slots = generator._with_slots(codes, items)[:, :, 3]
    hidden = (slots - generator.projection.bias).abs().amax(-1) < 1e-6
    assert 0.4 < float(hidden.float().mean()) < 0.6
    generator.eval()
    assert torch.allclose(
        generator._with_slots(codes, items)[0, 0, 3], generator.projection(generator.item_vectors[7]), atol=1e-6
    )
