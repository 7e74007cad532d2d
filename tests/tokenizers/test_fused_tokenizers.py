"""What the tokenizers that join content with what users take promise beyond the contract of all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from scipy import sparse
from small_codes import clustered, make_inputs

from genrec.core.dataset import Sequences
from genrec.engine.components import component_class, instantiate, parameters
from genrec.engine.config import conf_folder
from genrec.protocols import TokenizerInputs
from genrec.tokenizers.dual_aligned import DualAligned
from genrec.tokenizers.graph_rqvae import GraphRQVAE, Neighbours
from genrec.tokenizers.lib.pair_sampling import TEMPERATURE, Draw, contrast
from genrec.tokenizers.lib.pair_vectors import ppmi_vectors
from genrec.tokenizers.progressive_fusion import ProgressiveFusion, next_items
from genrec.tokenizers.purified import Purified
from genrec.tokenizers.rqvae import RQVAE

CODES: dict[str, Any] = {"num_levels": 2, "codebook_size": 16, "steps": 100, "batch_size": 128}
SMALL: dict[str, Any] = {**CODES, "hidden": [32], "latent_dim": 12}
HISTORIES = Sequences(np.array([0, 1, 0, 2, 2, 1], np.int32), np.array([0, 3, 5, 6]))  # 0 1 0, 2 2, 1


def communities(number: int, told: float) -> tuple[TokenizerInputs, np.ndarray]:
    """Items that users of some communities take, whose content tells so much of it beside noise: which one each item is of."""
    random = np.random.default_rng(0)
    taken, content = np.arange(200) % number, random.standard_normal((200, 12)).astype(np.float32)
    content += told * random.standard_normal((number, 12))[taken]
    rows = [random.choice(np.flatnonzero(taken == user % number), 8, replace=False) for user in range(160)]
    train = Sequences(np.concatenate(rows).astype(np.int32), 8 * np.arange(161))
    inputs = make_inputs(content)
    embeddings = {"item": content, "collaborative": np.eye(number, dtype=np.float32)[taken]}
    return replace(inputs, embeddings=embeddings, train=train), taken


def lift(codes: np.ndarray, taken: np.ndarray) -> float:
    """How much more often items of one community share their first code than any two do."""
    together = (taken[:, None] == taken) & ~np.eye(len(taken), dtype=bool)
    same = codes[:, None, 0] == codes[None, :, 0]
    return float(same[together].mean() / same[~np.eye(len(taken), dtype=bool)].mean())


def test_draws_follow_the_weights() -> None:
    graph = sparse.csr_array(np.array([[0, 1, 3.0], [0, 0, 0], [5, 0, 0]]))
    draw, rows = Draw(graph), torch.arange(3)
    assert draw.can(rows).tolist() == [True, False, True]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = draw.draw(torch.tensor([0, 2]).repeat(2000))
    assert np.bincount(drawn[::2], minlength=3) / 2000 == pytest.approx([0, 0.25, 0.75], abs=0.03)
    assert (drawn[1::2] == 0).all()


def test_contrast_is_the_cross_entropy_of_cosines_both_ways() -> None:
    random = np.random.default_rng(0)
    first, second = random.standard_normal((2, 5, 3))
    cosine = first @ second.T / np.linalg.norm(first, axis=1)[:, None] / np.linalg.norm(second, axis=1) / TEMPERATURE
    losses = [-np.mean(np.diag(each) - np.log(np.exp(each).sum(axis=1))) for each in (cosine, cosine.T)]
    assert float(contrast(torch.from_numpy(first), torch.from_numpy(second))) == pytest.approx(np.mean(losses))


def test_next_items_are_counted_within_a_user() -> None:
    assert next_items(HISTORIES, 3).toarray().tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]


def test_messages_are_means_of_neighbours() -> None:
    """Users and items are one kind of node; what was taken twice counts once."""
    users, items = (torch.from_numpy(each.astype(np.int64)) for each in (HISTORIES.user_idx + 3, HISTORIES.item_idx))
    means = Neighbours(users, items, 7).means(torch.eye(7))
    third = [0, 0, 0, 0, 1.0, 0, 0]
    expected = [[0, 0, 0, 1, 0, 0, 0], [0, 0, 0, 0.5, 0, 0.5, 0], third, [0.5, 0.5, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0]]
    torch.testing.assert_close(means, torch.tensor([*expected, [0, 1, 0, 0, 0, 0, 0], [0] * 7], dtype=torch.float32))


def test_gradients_of_messages_are_those_of_a_matrix_product() -> None:
    random = torch.Generator().manual_seed(0)
    graph, nodes = Neighbours(torch.tensor([0, 1, 1, 2]), torch.tensor([3, 3, 4, 4]), 6), torch.randn(6, 2, generator=random)
    matrix, weights = graph.means(torch.eye(6)), torch.randn(6, 2, generator=random)
    nodes.requires_grad_()
    (graph.means(nodes) * weights).sum().backward()
    assert nodes.grad is not None
    torch.testing.assert_close(nodes.grad, matrix.T @ weights)


def test_graph_tells_what_content_hides() -> None:
    inputs, taken = communities(4, 0.3)
    plain, graph = RQVAE(**SMALL), GraphRQVAE(**SMALL, graph_steps=40)
    for tokenizer in (plain, graph):
        tokenizer.fit(inputs)
    assert lift(graph.encode(inputs), taken) > 2 * lift(plain.encode(inputs), taken)


@pytest.mark.parametrize("name", ["progressive_fusion", "dual_aligned", "letter", "purified", "graph_rqvae"])
def test_what_brings_users_into_content_is_given_content_alone(name: str) -> None:
    """Of the joint vectors, which know the users already, nothing reaches the codes."""
    inputs, _ = communities(4, 1.0)
    whole = yaml.safe_load((conf_folder() / "tokenizer" / f"{name}.yaml").read_text(encoding="utf-8"))
    known = parameters(component_class(whole))
    small = {**SMALL, "steps": 5, "graph_steps": 5, "graph_epochs": None, "seed": 0, "column": None}
    node = whole | {key: value for key, value in small.items() if key in known}
    codes = []
    for scale in (1.0, -3.0):
        embeddings = {**inputs.embeddings, "text": inputs.embeddings["item"], "item": scale * inputs.embeddings["item"]}
        tokenizer = instantiate(node, "tokenizer")
        tokenizer.fit(replace(inputs, embeddings=embeddings))
        codes.append(tokenizer.encode(replace(inputs, embeddings=embeddings)))
    np.testing.assert_array_equal(*codes)


def test_pair_vectors_are_the_factors_of_the_mutual_information() -> None:
    random = np.random.default_rng(0)
    counts = np.triu(random.integers(0, 4, (9, 9)), 1).astype(float)
    counts[:, 8] = 0
    counts += counts.T
    total, marginal = counts.sum(), counts.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.nan_to_num(np.maximum(np.log(counts * total / np.outer(marginal, marginal)), 0.0), nan=0.0)
    values, axes = np.linalg.eigh(expected)
    top = np.argsort(-values)[:3]
    vectors = ppmi_vectors(sparse.csr_array(counts), 3)
    np.testing.assert_allclose(vectors @ vectors.T, (axes[:, top] * np.maximum(values[top], 0)) @ axes[:, top].T, atol=1e-5)
    assert not vectors[8].any(), "an item without pairs"


def test_graph_epochs_count_events() -> None:
    """A step sees each of 1,280 events once on average, so two epochs are two steps, whatever graph_steps says."""
    inputs, _ = communities(4, 0.3)
    codes = []
    for settings in ({"graph_epochs": 2, "graph_steps": 99}, {"graph_steps": 2}):
        tokenizer = GraphRQVAE(**SMALL, **settings)
        tokenizer.fit(inputs)
        codes.append(tokenizer.encode(inputs))
    np.testing.assert_array_equal(*codes)


def test_graph_residual_keeps_the_content_that_messages_lose() -> None:
    random = np.random.default_rng(0)
    inputs, _ = communities(4, 0.3)
    kind = random.integers(10, size=200)
    content = (np.eye(10)[kind] * 4 + 0.1 * random.standard_normal((200, 10))).astype(np.float32)
    inputs = replace(inputs, embeddings={"item": content})
    lifts = {}
    for residual in (False, True):
        tokenizer = GraphRQVAE(**SMALL, graph_steps=40, residual=residual)
        tokenizer.fit(inputs)
        lifts[residual] = lift(tokenizer.encode(inputs), kind)
    assert lifts[True] > 1.1 * lifts[False], lifts


def test_dual_aligned_follows_what_is_taken_together() -> None:
    inputs, taken = communities(20, 0.5)
    lifts = {}
    for weight in (0.0, 1.0):
        tokenizer = DualAligned(**SMALL, alignment_weight=weight)
        tokenizer.fit(inputs)
        lifts[weight] = lift(tokenizer.encode(inputs), taken)
    assert lifts[1.0] > 1.1 * lifts[0.0], lifts


def test_adapter_finds_the_collaborative_vectors_and_stands_in_for_them() -> None:
    inputs, taken = communities(4, 1.0)
    trained, random = ProgressiveFusion(**CODES), ProgressiveFusion(**{**CODES, "steps": 0})
    none = replace(inputs, embeddings={**inputs.embeddings, "collaborative": np.zeros((200, 4), np.float32)})
    right = []
    for tokenizer in (trained, random):
        tokenizer.fit(inputs)
        halves = np.split(tokenizer._fuse_inputs(none).embeddings["fused"], 2, axis=1)
        np.testing.assert_array_equal(halves[0], halves[1])
        right.append((halves[0].argmax(axis=1) == taken).mean())
    assert right[0] > 0.5 > right[1], right
    known = tokenizer._fuse_inputs(inputs).embeddings["fused"][:, :4]
    assert (known.argmax(axis=1) == taken).all()


def test_purified_opens_the_gate_for_popular_items() -> None:
    random = np.random.default_rng(0)
    counts = random.integers(1, 40, size=200)
    inputs = make_inputs(clustered(200))
    beside = random.standard_normal((200, 6)).astype(np.float32)
    beside[:, 0] = np.log1p(counts)
    events = np.repeat(np.arange(200), counts).astype(np.int32)
    train = Sequences(events, np.array([0, len(events)]))
    inputs = replace(inputs, embeddings={**inputs.embeddings, "collaborative": beside}, train=train)
    correlation = {}
    for weight in (0.0, 0.8):
        tokenizer = Purified(**{**SMALL, "steps": 200}, gate_weight=weight)
        tokenizer.fit(inputs)
        standardized = (torch.from_numpy(beside) - tokenizer._center[-6:]) / tokenizer._scale[-6:]
        opened = tokenizer._gated.openness_of(standardized).mean(1).detach().numpy()
        correlation[weight] = np.corrcoef(opened, np.log1p(counts))[0, 1]
    assert correlation[0.8] > correlation[0.0] + 0.5, correlation
    assert tokenizer.reconstruct(tokenizer.encode(inputs)).shape == (200, 12)


def test_purified_codes_tell_categories() -> None:
    random = np.random.default_rng(0)
    category = random.integers(4, size=200)
    content = random.standard_normal((200, 12)).astype(np.float32)
    content[:, :4] += np.eye(4)[category]
    inputs = make_inputs(content)
    named = inputs.items.with_columns(categories=pl.Series([f"All > {'abcd'[each]}" for each in category]))
    lifts = {}
    for weight in (0.0, 2.0):
        tokenizer = Purified(**SMALL, category_weight=weight)
        tokenizer.fit(replace(inputs, items=named))
        lifts[weight] = lift(tokenizer.encode(inputs), category)
    assert lifts[2.0] > 1.3 * lifts[0.0], lifts
