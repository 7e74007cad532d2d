from __future__ import annotations

import numpy as np
import pytest
import torch
from small_world import sids_of

from genrec.nn.attention import Attention, CodeCache, DistanceBias, FeedForward
from genrec.nn.blocks import CodeBlock, Dropout, HistoryBlock
from genrec.nn.item_embedding import ItemEmbedding


def test_dropout_keeps_the_expectation() -> None:
    torch.manual_seed(0)
    layer, x = Dropout(0.3), torch.ones(100_000)
    y = layer.train()(x)
    kept = y[y > 0]
    rate = round(0.3 * 256) / 256
    assert torch.allclose(kept, torch.tensor(1 / (1 - rate)))
    assert abs(1 - len(kept) / len(x) - rate) < 0.01
    assert abs(float(y.mean()) - 1) < 0.01
    assert torch.equal(layer.eval()(x), x)
    assert torch.equal(Dropout(0.0).train()(x), x)


def test_dropout_draws_each_element_alone() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.5).train()(torch.ones(4000, 16)) > 0).double()
    correlation = np.corrcoef(kept.T.numpy()) - np.eye(16)
    assert np.abs(correlation).max() < 0.08


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_dropout_rate(rate: float) -> None:
    with pytest.raises(ValueError, match=str(rate)):
        Dropout(rate)


def test_distance_bias_is_causal_and_relative() -> None:
    bias = DistanceBias(num_heads=2, max_distance=3)
    with torch.no_grad():
        bias.weight.copy_(torch.arange(8.0).view(2, 4))
    found = bias(torch.tensor([0, 2, 9]), torch.arange(10))
    for head in range(2):
        for row, query in enumerate([0, 2, 9]):
            expected = [bias.weight[head, min(query - key, 3)].item() if key <= query else -torch.inf for key in range(10)]
            assert found[head, row].tolist() == expected


def test_attention_against_a_loop() -> None:
    torch.manual_seed(0)
    layer = Attention(dim=6, num_heads=2, dropout=0.0).eval()
    torch.nn.init.normal_(layer.out.weight)
    x, memory, bias = torch.randn(2, 3, 6), torch.randn(2, 4, 6), torch.randn(2, 3, 4)
    found = layer.attend(x, layer.keys_values(memory), bias)
    query, (key, value) = layer.query(x), layer.key_value(memory).chunk(2, dim=-1)
    for user in range(2):
        for row in range(3):
            heads = []
            for head in range(2):
                part = slice(3 * head, 3 * head + 3)
                logits = key[user, :, part] @ query[user, row, part] * 3**-0.5 + bias[head, row]
                heads.append(torch.softmax(logits, 0) @ value[user, :, part])
            assert torch.allclose(found[user, row], layer.out(torch.cat(heads)), atol=1e-5)


def test_blocks_start_as_the_identity() -> None:
    x = torch.randn(2, 3, 8)
    bias = DistanceBias(num_heads=2, max_distance=3)(torch.arange(3), torch.arange(3))
    settings = {"dim": 8, "num_heads": 2, "feedforward_mult": 2, "dropout": 0.0}
    assert torch.equal(HistoryBlock(**settings)(x, bias), x)
    assert torch.equal(FeedForward(dim=8, mult=2)(x), torch.zeros_like(x))
    block = CodeBlock(**settings)
    query, key, value = block.codes_qkv(x)
    attended = block.attend_codes(query, key.unsqueeze(-3), value.unsqueeze(-3))
    assert torch.equal(block.finish(x, attended, block.to_history.keys_values(x), None), x)


def test_branches_go_on_where_a_history_ends() -> None:
    """Two branches of three tokens each, token by token, against one pass over each whole sequence."""
    torch.manual_seed(0)
    block = HistoryBlock(dim=8, num_heads=2, feedforward_mult=2, dropout=0.0)
    distance = DistanceBias(num_heads=2, max_distance=6)
    for parameter in (*block.parameters(), *distance.parameters()):
        torch.nn.init.normal_(parameter)
    history, branches = torch.randn(3, 4, 8), torch.randn(3, 2, 3, 8)
    position = torch.arange(7)
    _, keys_values = block.read(history, distance(position[:4], position[:4]))
    written, found = CodeCache(), []
    for token in range(3):
        past, own = distance(position[4 + token :][:1], position[: 5 + token]).split([4, token + 1], dim=-1)
        out, written = block.branch(branches[:, :, token], keys_values, past, written, own.squeeze(1))
        found.append(out)
    for branch in range(2):
        whole = block(torch.cat([history, branches[:, branch]], dim=1), distance(position, position))
        assert torch.allclose(torch.stack(found, dim=2)[:, branch], whole[:, 4:], atol=1e-5)


def test_beams_are_reordered_before_they_have_written() -> None:
    assert CodeCache().reordered(torch.zeros(2, 3, dtype=torch.long)) == CodeCache()


def test_item_embedding_is_the_sum_of_its_codes() -> None:
    sids = sids_of(10)
    layer = ItemEmbedding(sids=sids, dim=4, identity=False, identity_dropout=0.0, train_counts=None)
    items = torch.tensor([[3, 9], [0, 3]])
    for item, vector in zip(items.flatten().tolist(), layer(items).flatten(0, 1), strict=True):
        assert torch.allclose(vector, layer.codes.weight[torch.from_numpy(sids.tokens[item])].sum(0))
    assert torch.equal(layer.table(), layer(torch.arange(10)))


def test_identity_is_gated_by_training_events() -> None:
    sids, counts = sids_of(4), np.array([0, 1, 5, 1000])
    layer = ItemEmbedding(sids=sids, dim=4, identity=True, identity_dropout=0.5, train_counts=counts).eval()
    codes = layer.table().detach()
    assert layer.identity is not None
    torch.nn.init.ones_(layer.identity.weight)
    shares = (layer.table().detach() - codes)[:, 0]
    assert torch.allclose(shares, torch.tensor([0, 1 / 6, 1 / 2, 1000 / 1005]), atol=1e-6)
    assert shares[0] == 0


def test_identity_dropout_hides_whole_identities() -> None:
    torch.manual_seed(0)
    layer = ItemEmbedding(sids=sids_of(4), dim=4, identity=True, identity_dropout=0.4, train_counts=np.full(4, 100))
    assert layer.identity is not None
    codes = layer.eval()(torch.full((3000,), 2)).detach()
    torch.nn.init.ones_(layer.identity.weight)
    shown = (layer.train()(torch.full((3000,), 2)).detach() - codes).abs() > 1e-3
    assert torch.equal(shown.all(1), shown.any(1))
    assert abs(float(shown[:, 0].double().mean()) - 0.6) < 0.04
