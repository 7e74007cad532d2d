"""Texts that a language model writes, and the items that are listed for them."""

from __future__ import annotations

from pathlib import Path

import torch
from small_world import OPTIONS, all_targets, batch_of, catalog_of, language_model, random_histories, scrambled, sids_of

from genrec.core.trie import PrefixTrie
from genrec.decoding.grounded_text import WITHOUT_TEXT, GroundedText
from genrec.engine.components import instantiate
from genrec.objectives.aligned_cross_entropy import AlignedCrossEntropy
from genrec.protocols import DecodingRequest, WritesTexts
from genrec.types import PAD

SIDS = sids_of(40, (4, 5, 6))
TRIE = PrefixTrie.build(SIDS)
LC_REC = next(option for option in OPTIONS if option.id == "lc_rec")
HISTORIES = [[3, 6, 17], [], [9, 2], random_histories(40, [9])[0]]


def written_by_hand(generator: object, history: list[int], num_words: int) -> list[int]:
    """Greedy continuation of the prompt as one string, the whole text read again for each word."""
    lm = generator.language_model  # type: ignore[attr-defined]
    titles = catalog_of(40)["title"].to_list()
    text = (
        "<s>A user chose" + "".join(f" {titles[item]}," for item in history[-5:] if titles[item]) + " and then the one called"
    )
    words, answer = lm.tokenizer(text, add_special_tokens=False)["input_ids"], []
    for _ in range(num_words):
        word = int(lm.text_logits(lm(torch.tensor([[*words, *answer]]))[0, -1:]).argmax())
        if word == lm.tokenizer.eos_token_id:
            break
        answer.append(word)
    return answer


def test_the_text_is_the_greedy_continuation() -> None:
    for kind in ("llama", "gpt2"):
        generator = scrambled(LC_REC.build(SIDS, model=language_model(kind), max_text_len=8), scale=0.1)
        assert isinstance(generator, WritesTexts)
        texts = generator.write_texts(batch_of([row[-6:] for row in HISTORIES]))
        for row, history in zip(texts.tolist(), HISTORIES, strict=True):
            assert [word for word in row if word != PAD] == written_by_hand(generator, history, 8)


def test_the_task_is_the_next_text_after_texts() -> None:
    generator = scrambled(LC_REC.build(SIDS))
    logits, words = generator.next_title_logits(batch_of(HISTORIES[:1]), torch.tensor([4]))
    lm, titles = generator.language_model, catalog_of(40)["title"].to_list()
    text = f"<s>A user chose {titles[3]}, {titles[17]}, and then the one called"
    read = [lm.tokenizer(part, add_special_tokens=False)["input_ids"] for part in (text, f" {titles[4]}</s>")]
    assert words.tolist() == read[1]
    states = lm(torch.tensor([[*read[0], *read[1]]]))[0, len(read[0]) - 1 : -1]
    assert torch.allclose(logits, lm.text_logits(states), atol=1e-4)
    only = AlignedCrossEntropy(
        trie=TRIE, item2index_weight=0.0, index2item_weight=0.0, next_title_weight=2.0, codes_weight=0.0, histories_per_step=99
    )
    terms = only.loss(generator, all_targets(HISTORIES[:3], 40))
    assert set(terms.parts) == {"next_title"}
    assert torch.allclose(terms.total, 2 * terms.parts["next_title"])


def test_items_rank_by_distance_and_popularity() -> None:
    generator = scrambled(LC_REC.build(SIDS, max_text_len=8))
    batch = batch_of([row[-6:] for row in HISTORIES])
    generator.item_counts = torch.arange(40.0)
    texts, described = generator.texts, generator.described()
    words = [[word for word in row if word != PAD] for row in texts.tolist()]
    start = generator.language_model.tokenizer.bos_token_id
    with torch.no_grad():
        states = torch.stack([generator.language_model(torch.tensor([[start, *row]]))[0, -1] for row in words])
        query = torch.stack(
            [
                generator.language_model(torch.tensor([[start, *[word for word in row if word != PAD]]]))[0, -1]
                for row in generator.write_texts(batch).tolist()
            ]
        )
    away = torch.cdist(query, states[described])
    distance = (away - away.amin(1, keepdim=True)) / (away.amax(1) - away.amin(1)).unsqueeze(1)
    for gamma in (0.0, 3.0):
        decoded = GroundedText(gamma=gamma).decode(generator, TRIE, DecodingRequest(batch, 40))
        expected = torch.full((4, 40), WITHOUT_TEXT)
        expected[:, described] = -distance / (1 + described / 39) ** gamma
        scores = torch.empty(4, 40).scatter(1, decoded.items[:, :40], decoded.scores[:, :40])
        assert torch.allclose(scores, expected, atol=1e-4)


def test_vectors_follow_the_weights() -> None:
    generator, strategy = scrambled(LC_REC.build(SIDS, max_text_len=8)), GroundedText()
    request = DecodingRequest(batch_of(HISTORIES[:3]), 40)
    strategy.decode(generator, TRIE, request)
    scrambled(generator, seed=5)
    again = strategy.decode(generator, TRIE, request)
    fresh = GroundedText().decode(generator, TRIE, request)
    assert torch.equal(again.items, fresh.items)


def test_a_trained_one_has_its_texts(tmp_path: Path) -> None:
    """What was saved serves a catalogue with later items too; those have no text."""
    generator = LC_REC.build(SIDS, max_text_len=8)
    generator.save(tmp_path)
    again = instantiate(LC_REC.node(max_text_len=8), "generator", sids=sids_of(45, (4, 5, 6)), saved=tmp_path).eval()
    assert torch.equal(again.texts[:40], generator.texts)
    assert (again.texts[40:] == PAD).all()
    assert again.item_counts.tolist() == [1.0] * 40 + [0.0] * 5
