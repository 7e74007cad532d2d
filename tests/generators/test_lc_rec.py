"""What only lc_rec has: a language model's vocabulary with codes, prompts, texts, and files of its own."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_world import OPTIONS, all_targets, batch_of, catalog_of, language_model, random_histories, scrambled, sids_of
from torch.nn import functional as F

from genrec.core.trie import PrefixTrie
from genrec.engine.components import instantiate
from genrec.errors import ConfigError
from genrec.generators.lib.keywords import keywords_of
from genrec.objectives.aligned_cross_entropy import INDEX_TASKS, WORD_TASKS, AlignedCrossEntropy
from genrec.protocols import AlignedGenerator
from genrec.types import PAD

SIDS = sids_of(40, (4, 5, 6))
TRIE = PrefixTrie.build(SIDS)
HISTORIES = random_histories(40, [0, 2, 6])
LLAMA = next(option for option in OPTIONS if option.id == "lc_rec")
WEIGHTS = [f"{task}_weight" for task in (*INDEX_TASKS, *WORD_TASKS) if task != "rating"]  # of which there are none
both = pytest.mark.parametrize("kind", ["llama", "gpt2"])  # relative positions and a head of its own; neither


def whole(generator: Any, folder: str) -> tuple[Any, Any]:
    """The model and tokenizer of Hugging Face with the codes in the vocabulary proper, as one would do it by hand."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer.add_tokens([f"<{level}_{code}>" for level, size in enumerate(SIDS.sizes) for code in range(size)])
    model.resize_token_embeddings(len(tokenizer))
    ours = generator.language_model
    old_head = ours.body.get_input_embeddings().weight if ours.old_head is None else ours.old_head.weight
    table = torch.cat([ours.body.get_input_embeddings().weight, ours.new_embedding.weight])
    head = torch.cat([old_head, ours.new_head.weight])
    weights = {name: tensor for name, tensor in ours.body.state_dict().items() if tensor.shape[0] != ours.vocabulary}
    model.base_model.load_state_dict(weights, strict=False)
    model.base_model.get_input_embeddings().weight = torch.nn.Parameter(table.detach().clone())
    model.get_output_embeddings().weight = torch.nn.Parameter(head.detach().clone())
    return model, tokenizer


def written(item: int) -> str:
    return "".join(f"<{level}_{code}>" for level, code in enumerate(SIDS.codes[item]))


@both
def test_codes_are_words_of_the_language_model(kind: str) -> None:
    """The logits of the next ID are those of the whole model for the prompt as one string."""
    generator = scrambled(LLAMA.build(SIDS, model=language_model(kind)))
    model, tokenizer = whole(generator, language_model(kind))
    logits = generator.target_logits(all_targets(HISTORIES, 40))
    target = 0
    for row in HISTORIES:
        for length in range(len(row) + 1):
            history = "".join(map(written, row[:length]))
            answer = written(int(logits.items[target]))
            text = f"<s>Items that a user chose one after another:{history}{answer}"
            states = model(**tokenizer(text, return_tensors="pt", add_special_tokens=False)).logits[0, -4:-1]
            for level, expected in enumerate(states):
                first, end = (generator.language_model.vocabulary + SIDS.level_offsets[level : level + 2]).tolist()
                assert torch.allclose(logits.levels[level][target], expected[first:end], atol=1e-4)
            target += 1


@both
def test_texts_and_ids_by_hand(kind: str) -> None:
    """Both alignment tasks against the whole model, whose labels are the responses alone."""
    generator = scrambled(LLAMA.build(SIDS, model=language_model(kind)))
    assert isinstance(generator, AlignedGenerator)
    model, tokenizer = whole(generator, language_model(kind))
    titles = catalog_of(40)["title"].to_list()
    described = generator.described()
    assert described.tolist() == [item for item, title in enumerate(titles) if title]
    items = described[torch.tensor([3, 0, 7])]

    def states(text: str, num_response: int) -> torch.Tensor:
        tokens = tokenizer(text, return_tensors="pt", add_special_tokens=False)
        return model(**tokens).logits[0, -num_response - 1 : -1]

    ids, (words, labels) = generator.index_logits(items), generator.text_logits(items)
    assert torch.equal(ids.items, items)
    start = 0
    for place, item in enumerate(items.tolist()):
        expected = states(f"<s>The item called {titles[item]} is{written(item)}", 3)
        for level in range(3):
            first, end = (generator.language_model.vocabulary + SIDS.level_offsets[level : level + 2]).tolist()
            assert torch.allclose(ids.levels[level][place], expected[level, first:end], atol=1e-4)
        answer = tokenizer(f" {titles[item]}", add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
        expected = states(f"<s>{written(item)} is called {titles[item]}</s>", len(answer))
        found = slice(start, start := start + len(answer))
        assert labels[found].tolist() == answer
        assert torch.allclose(words[found], expected[:, : generator.language_model.vocabulary], atol=1e-4)
    assert start == len(labels)


@both
def test_beams_that_are_branches_read_what_one_pass_reads(kind: str) -> None:
    """Three beams of one user, reordered at every level, against the teacher-forced logits of the same IDs."""
    generator = scrambled(LLAMA.build(SIDS, model=language_model(kind)))
    items, swap = torch.tensor([[3, 17, 29]] * len(HISTORIES)), torch.tensor([[2, 0, 1]] * len(HISTORIES))
    codes, found = torch.from_numpy(SIDS.codes).long(), []
    state, chosen = generator.prefill(batch_of(HISTORIES)), None
    for level in range(3):
        logits, state = generator.step(state, chosen)
        found.append(logits.expand(-1, 3, -1).gather(1, items.argsort(dim=1).unsqueeze(-1).expand(-1, -1, logits.shape[-1])))
        items = items.gather(1, swap)
        state = generator.reorder(state, swap if level else torch.zeros_like(swap))
        chosen = codes[items, level]
    for beam, item in enumerate([3, 17, 29]):
        targets = [[*[PAD] * len(row), item] for row in HISTORIES]
        for ours, theirs in zip(found, generator.target_logits(batch_of(HISTORIES, targets)).levels, strict=True):
            assert torch.allclose(ours[:, beam], theirs, atol=1e-4)


def test_the_objective_is_the_sum_of_the_tasks() -> None:
    generator = scrambled(LLAMA.build(SIDS))
    batch = all_targets(HISTORIES, 40)
    objective = AlignedCrossEntropy(trie=TRIE, item2index_weight=0.5, index2item_weight=2.0, items_per_step=400)
    torch.manual_seed(0)
    terms = objective.loss(generator, batch)
    levels = torch.stack([terms.parts[f"level_{level}"] for level in range(3)]).mean()
    assert torch.allclose(terms.total, levels + 0.5 * terms.parts["item2index"] + 2.0 * terms.parts["index2item"])
    described = generator.described()
    ids = generator.index_logits(described)
    codes = torch.from_numpy(SIDS.codes).long()[described]
    mean = torch.stack([F.cross_entropy(ids.levels[level], codes[:, level]) for level in range(3)]).mean()
    assert abs(terms.parts["item2index"] - mean) < 0.1, "many draws"
    alone = AlignedCrossEntropy(trie=TRIE, item2index_weight=0.0, index2item_weight=0.0).loss(generator, batch)
    assert torch.allclose(alone.total, levels)


@both
def test_tasks_of_histories_by_hand(kind: str) -> None:
    """fusionseqrec, itemsearch and preferenceobtain against the whole model, prompts as strings."""
    generator = scrambled(LLAMA.build(SIDS, model=language_model(kind)))
    model, tokenizer = whole(generator, language_model(kind))
    titles = [title or "" for title in catalog_of(40)["title"].to_list()]
    histories, items = [[3, 6, 17], [], [9, 2]], torch.tensor([4, 8, 13])  # items 6 and 13 have no title
    batch = batch_of(histories)
    words, rows, _ = keywords_of(titles, 8)
    ids = ["".join(map(written, row)) for row in histories]
    chosen = ["".join(f" {titles[item]}," for item in row if titles[item]) for row in histories]
    queries = ["".join(f" {words[word]}" for word in rows[item][:3]) for item in items.tolist()]

    def states(text: str, answer: str) -> torch.Tensor:
        read = [tokenizer(part, add_special_tokens=False)["input_ids"] for part in (text, answer)]
        return model(input_ids=torch.tensor([[*read[0], *read[1]]])).logits[0, len(read[0]) - 1 : -1]

    def check_ids(logits: Any, prompts: list[str], items: list[int]) -> None:
        assert logits.items.tolist() == items
        for row, (prompt, item) in enumerate(zip(prompts, items, strict=True)):
            expected = states(prompt, written(item))
            for level in range(3):
                first, end = (generator.language_model.vocabulary + SIDS.level_offsets[level : level + 2]).tolist()
                assert torch.allclose(logits.levels[level][row], expected[level, first:end], atol=1e-4)

    def check_words(answered: Any, prompts: list[str], answers: list[str]) -> None:
        expected = torch.cat([states(*pair) for pair in zip(prompts, answers, strict=True)])
        assert answered[1].tolist() == [t for text in answers for t in tokenizer(text, add_special_tokens=False)["input_ids"]]
        assert torch.allclose(answered[0], expected[:, : generator.language_model.vocabulary], atol=1e-4)

    after = [f"<s>After{sid} comes the item called" for sid in ids[:2]]
    check_words(generator.next_text_logits(batch, items), after, [f" {titles[item]}</s>" for item in (4, 8)])
    prompts = [f"<s>A user chose{text} and then" for text in chosen]
    check_ids(generator.next_index_logits(batch, items), prompts, [4, 8, 13])
    prompts = [f"<s>Who searches for{query} finds" for query in queries if query]
    check_ids(generator.search_logits(batch, items), prompts, [item for item in items.tolist() if rows[item]])
    weights = [sum((Counter(rows[item]) for item in row), Counter()) for row in histories]
    _, _, idf = keywords_of(titles, 8)
    liked = [sorted(count, key=lambda word, count=count: -count[word] * idf[word])[:5] for count in weights]
    _, answer = generator.preference_logits(batch)
    ends = (answer == tokenizer.eos_token_id).nonzero().squeeze(1).tolist()
    assert len(ends) == 2, "the empty history has nothing to say"
    assert set(tokenizer.decode(answer[: ends[0]]).split()) == {words[word] for word in liked[0]}
    prompts, answers = ([f"<s>Who chose{ids[row]} likes" for row in (0, 2)], [tokenizer.decode(answer[: ends[0] + 1])])
    answers.append(tokenizer.decode(answer[ends[0] + 1 :]))
    check_words(generator.preference_logits(batch), prompts, answers)


def test_keywords_tell_some_texts_from_others() -> None:
    texts = ["Red wool socks", "red wool hat", "A steel lamp 40W", "blue lamp", *["thing"] * 20, ""]
    words, rows, idf = keywords_of(texts, 2)
    assert words == ["lamp", "red", "wool"], "of two texts at least and a third at most, without numbers"
    assert [[words[word] for word in row] for row in rows[:4]] == [["red", "wool"], ["red", "wool"], ["lamp"], ["lamp"]]
    assert idf[0] == pytest.approx(math.log(25 / 2))


def test_all_six_tasks_are_weighed() -> None:
    generator = scrambled(LLAMA.build(SIDS))
    batch, weights = all_targets(HISTORIES, 40), dict.fromkeys(WEIGHTS, 0.5)
    torch.manual_seed(0)
    terms = AlignedCrossEntropy(trie=TRIE, **weights).loss(generator, batch)
    levels = torch.stack([terms.parts[f"level_{level}"] for level in range(3)]).mean()
    tasks = [terms.parts[weight.removesuffix("_weight")] for weight in WEIGHTS]
    assert torch.allclose(terms.total, levels + 0.5 * sum(tasks))
    generator.train()
    AlignedCrossEntropy(trie=TRIE, **weights).loss(generator, batch).total.backward()
    assert all(parameter.grad is not None for parameter in generator.parameters())


def test_a_template_is_drawn_for_a_batch_in_training_only() -> None:
    generator = LLAMA.build(SIDS)
    batch = batch_of([[1, 2]], [[1, 2, 3]])

    def found(times: int) -> int:
        return len({generator.target_logits(batch).levels[0].sum().item() for _ in range(times)})

    assert found(5) == 1
    generator.train()
    torch.manual_seed(0)
    assert found(30) == 3


def test_a_trained_one_needs_no_model_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(language_model("gpt2"), folder)
    generator = scrambled(LLAMA.build(SIDS, model=str(folder)))
    expected = generator.target_logits(all_targets(HISTORIES, 40)).levels
    save_file({name: tensor.contiguous() for name, tensor in generator.state_dict().items()}, tmp_path / "model.safetensors")
    saved = tmp_path / "saved"
    saved.mkdir()
    generator.save(saved)
    shutil.rmtree(folder)
    again = instantiate(LLAMA.node(model=str(folder)), "generator", sids=SIDS, saved=saved).eval()
    again.load_state_dict(load_file(tmp_path / "model.safetensors"))
    for ours, theirs in zip(again.target_logits(all_targets(HISTORIES, 40)).levels, expected, strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(again.described(), generator.described())
    assert {path.suffix for path in saved.iterdir()} <= {".json", ".txt", ".safetensors"}


def test_keys_and_values_are_stored_once_per_user() -> None:
    generator = scrambled(LLAMA.build(SIDS))
    _, state = generator.step(generator.prefill(batch_of(HISTORIES)), None)
    wide = generator.reorder(state, torch.zeros(len(HISTORIES), 50, dtype=torch.long))
    assert wide.cache is state.cache
    codes = torch.zeros(len(HISTORIES), 50, dtype=torch.long)
    _, after = generator.step(wide, codes)
    assert after.cache[0][0].shape[2] == state.cache[0][0].shape[2] + 50
    assert state.cache[0][0].shape[2] == wide.cache[0][0].shape[2], "an old state stays as it is"


def test_adapters_leave_the_language_model_alone() -> None:
    pytest.importorskip("peft")
    generator = LLAMA.build(SIDS, lora_rank=2)
    trained = {name for name, parameter in generator.named_parameters() if parameter.requires_grad}
    assert {"language_model.new_embedding.weight", "language_model.new_head.weight"} <= trained
    rest = {name for name in trained if "lora_" not in name} - {
        "language_model.new_embedding.weight",
        "language_model.new_head.weight",
    }
    assert not rest
    LLAMA.objective(TRIE, generator).loss(generator, all_targets(HISTORIES, 40)).total.backward()
    assert all(p.grad is not None for name, p in generator.named_parameters() if name in trained)


def test_without_the_package_for_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(
        ConfigError, match=r"generator\.lora_rank: expected null without the package peft, got 2; .*genrec\[llm\]"
    ):
        LLAMA.build(SIDS, lora_rank=2)


def test_sampling_settings_of_the_model_have_no_say(tmp_path: Path) -> None:
    shutil.copytree(language_model("llama"), tmp_path / "base")
    settings = {"do_sample": True, "temperature": 0.01, "top_k": 1, "repetition_penalty": 9.0}
    (tmp_path / "base" / "generation_config.json").write_text(json.dumps(settings), encoding="utf-8")
    batch = all_targets(HISTORIES, 40)
    plain, warped = LLAMA.build(SIDS), LLAMA.build(SIDS, model=str(tmp_path / "base"))
    for ours, theirs in zip(warped.target_logits(batch).levels, plain.target_logits(batch).levels, strict=True):
        assert torch.equal(ours, theirs)
