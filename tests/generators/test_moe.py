"""What only moe has: sessions, whose first item is what is decoded, and experts that all have work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_world import OPTIONS, all_targets, batch_of, random_histories, ring, scrambled, sids_of

from genrec.core.trie import PrefixTrie
from genrec.decoding.session import Session
from genrec.nn.blocks import Experts
from genrec.nn.trie_likelihood import child_log_probs
from genrec.objectives.session_cross_entropy import SessionCrossEntropy
from genrec.objectives.sid_cross_entropy import SIDCrossEntropy
from genrec.protocols import DecodingRequest, TargetLogits
from genrec.training.fit import fit
from genrec.training.settings import TrainSettings
from genrec.types import PAD

MOE = next(option for option in OPTIONS if option.id == "moe")
SIDS = sids_of(40, (4, 5, 6))
TRIE = PrefixTrie.build(SIDS)
BATCH = all_targets(random_histories(40, [0, 2, 6, 6]), 40)


def by_session(logits: TargetLogits, lengths: list[int]) -> list[torch.Tensor]:
    """The logits of each session, [items, all codes]."""
    return list(torch.cat(logits.levels, dim=1).split(lengths))


def test_a_session_is_the_next_items() -> None:
    generator = MOE.build(SIDS, session_len=3)
    batch = batch_of([[7, 8, 9]], [[7, 8, 9, 10]])
    assert generator.session_logits(batch).items.tolist() == [7, 8, 9, 8, 9, 10, 9, 10, 10]


def test_a_session_holds_valued_items_alone() -> None:
    generator = scrambled(MOE.build(SIDS, session_len=3))
    some = batch_of([[7, 8, 9], [5, 6, 9]], [[PAD, 8, PAD, 10], [5, 6, PAD, 7]])
    sessions = generator.session_logits(some)
    assert sessions.items.tolist() == [8, 10, 10, 5, 6, 7, 6, 7, 7], "none begins at what is context only, none holds it"
    assert sessions.slots.tolist() == [0, 1, 0, 0, 1, 2, 0, 1, 0]
    # What is no target says nothing about an item of the session in which it would have stood: [8, 10] is one of [7].
    alone = generator.session_logits(batch_of([[7, 8]], [[PAD, 8, 10]]))
    for level, logits in enumerate(alone.levels):
        assert torch.allclose(logits[:2], sessions.levels[level][:2], atol=1e-5)


def test_an_item_of_a_session_weighs_what_it_counts_as_a_target() -> None:
    generator = scrambled(MOE.build(SIDS, session_len=2))
    batch = batch_of([[7, 8]], [[7, PAD, 9]])
    logits = generator.session_logits(batch)
    path = TRIE.paths(logits.items)
    losses = torch.stack(
        [
            torch.nn.functional.cross_entropy(of, TRIE.codes(path[:, level + 1]), reduction="none")
            for level, of in enumerate(logits.levels)
        ]
    ).mean(0)
    weights = torch.tensor([3.0, 0.5 * 0.2, 0.5])  # item 7, item 9 after it, item 9 as the first one
    weighed = replace(batch, weights=torch.tensor([[3.0, 0.0, 0.5]]))
    total = SessionCrossEntropy(trie=TRIE, codebook_share=1.0, later_weight=0.2).loss(generator, weighed).total
    assert torch.allclose(total, (losses * weights).sum() / weights.sum(), atol=1e-5)
    assert abs(total - SessionCrossEntropy(trie=TRIE, codebook_share=1.0).loss(generator, batch).total) > 1e-3


def test_the_first_item_is_what_is_decoded() -> None:
    generator = scrambled(MOE.build(SIDS, session_len=4))
    first, sessions = generator.target_logits(BATCH), generator.session_logits(BATCH)
    lengths = [min(4, row - state) for row in (1, 3, 7, 7) for state in range(row)]
    starts = torch.tensor([0, *lengths]).cumsum(0)[:-1]
    assert torch.equal(sessions.items[starts], first.items)
    for ours, theirs in zip(sessions.levels, first.levels, strict=True):
        assert torch.allclose(ours[starts], theirs, atol=1e-5)


def test_an_item_of_a_session_sees_those_before_it_and_none_behind() -> None:
    generator = scrambled(MOE.build(SIDS, session_len=3))

    def session(*items: int) -> torch.Tensor:
        """Of the state after items 5 and 6."""
        batch = batch_of([[5, 6, *items[:2]]], [[PAD, PAD, *items]])
        return by_session(generator.session_logits(batch), [3, 2, 1])[0]

    before = session(7, 8, 9)
    later = session(7, 8, 20)
    assert torch.allclose(later[:2], before[:2], atol=1e-5)
    middle = session(7, 21, 9)
    assert torch.allclose(middle[:1], before[:1], atol=1e-5)
    assert (middle[2] - before[2]).abs().max() > 1e-3
    last_code = SIDS.codes[:, 2] != SIDS.codes[7, 2]
    sibling = int((last_code & (SIDS.codes[:, :2] == SIDS.codes[7, :2]).all(1)).nonzero()[0][0])
    assert (session(sibling, 8, 9)[1] - before[1]).abs().max() > 1e-3, "the last code of an item is read too"


def test_neighbours_change_no_session() -> None:
    generator = scrambled(MOE.build(SIDS))
    rows = random_histories(40, [0, 2, 6])
    together = generator.session_logits(all_targets(rows, 40))
    alone = [generator.session_logits(all_targets([row], 40)) for row in rows]
    assert torch.equal(torch.cat([logits.items for logits in alone]), together.items)
    for level, logits in enumerate(together.levels):
        assert torch.allclose(torch.cat([one.levels[level] for one in alone]), logits, atol=1e-5)


def test_sessions_of_one_item_are_the_usual_objective() -> None:
    generator = scrambled(MOE.build(SIDS, session_len=1))
    usual, session = SIDCrossEntropy(trie=TRIE), SessionCrossEntropy(trie=TRIE)
    assert torch.allclose(session.loss(generator, BATCH).total, usual.loss(generator, BATCH).total, atol=1e-6)
    longer = scrambled(MOE.build(SIDS, session_len=5))
    later, first = (objective.loss(longer, BATCH).parts["level_0"] for objective in (session, usual))
    assert abs(later - first) > 0.01


def test_later_items_of_a_session_weigh_less() -> None:
    generator = scrambled(MOE.build(SIDS, session_len=3))
    logits = generator.session_logits(BATCH)
    assert logits.slots.tolist() == [
        slot for row in (1, 3, 7, 7) for state in range(row) for slot in range(min(3, row - state))
    ]
    path = TRIE.paths(logits.items)
    losses = (
        sum(
            torch.nn.functional.cross_entropy(of, TRIE.codes(path[:, level + 1]), reduction="none")
            for level, of in enumerate(logits.levels)
        )
        / SIDS.num_levels
    )
    total, weight = torch.zeros(()), 0.0
    for loss, slot in zip(losses, logits.slots.tolist(), strict=True):
        share = 1.0 if slot == 0 else 0.2
        total, weight = total + share * loss, weight + share
    weighted = SessionCrossEntropy(trie=TRIE, codebook_share=1.0, later_weight=0.2).loss(generator, BATCH).total
    assert torch.allclose(weighted, total / weight, atol=1e-5)
    first = SIDCrossEntropy(trie=TRIE).loss(generator, BATCH).total
    assert torch.allclose(SessionCrossEntropy(trie=TRIE, later_weight=0.0).loss(generator, BATCH).total, first, atol=1e-5)


def test_a_session_is_written_as_it_was_trained() -> None:
    generator = scrambled(MOE.build(SIDS, session_len=3))
    histories, session = [[5, 6, 2], [9]], torch.tensor([[7, 8, 3], [1, 7, 20]])
    rows = [[*history, *items] for history, items in zip(histories, session.tolist(), strict=True)]
    targets = [[PAD] * len(history) + items for history, items in zip(histories, session.tolist(), strict=True)]
    batch = batch_of([row[:-1] for row in rows], targets)
    trained = [one[:3] for one in torch.cat(generator.session_logits(batch).levels, dim=1).split([6, 6])]
    state = generator.prefill(batch_of(histories))
    for slot in range(3):
        steps, levels, beams = state, [], None
        for level in range(SIDS.num_levels):
            logits, steps = generator.step(steps, beams)
            levels.append(logits[:, 0])
            beams = torch.from_numpy(SIDS.codes).long()[session[:, slot], level].unsqueeze(1)
        for user in range(2):
            assert torch.allclose(torch.cat(levels, dim=1)[user], trained[user][slot], atol=1e-4), (user, slot)
        if slot < 2:
            state = generator.written(state, session[:, slot])


def test_session_decoding_writes_the_best_item_after_those_before() -> None:
    generator = scrambled(MOE.build(SIDS, session_len=2))
    histories, seen = [[5, 6], [9]], torch.tensor([[5, 6], [9, PAD]])
    decoded = Session(num_beams=40).decode(generator, TRIE, DecodingRequest(batch_of(histories), 3, seen))
    for user, history in enumerate(histories):

        def log_probs(history: list[int], session: list[int]) -> torch.Tensor:
            """Of every item as the next one of a session, by teacher forcing."""
            items = torch.arange(40)
            batch = batch_of([[*history, *session]] * 40, [[PAD] * len(history) + [*session, int(item)] for item in items])
            logits = generator.session_logits(batch)
            last, path = logits.slots == len(session), TRIE.paths(items)
            return sum(
                child_log_probs(of[last], *TRIE.children(path[:, level], level)[1:], "trie").gather(
                    1, (path[:, level + 1] - TRIE.first_child[path[:, level]]).unsqueeze(1)
                )[:, 0]
                for level, of in enumerate(logits.levels)
            )

        listed: list[int] = []
        total = 0.0
        for session in ([], [None], []):  # of two items; the third starts another one
            scores = log_probs(history, listed[:1] if session else []).detach()
            scores[[*history, *listed]] = float("-inf")
            total += float(scores.max())
            listed.append(int(scores.argmax()))
            assert decoded.items[user, len(listed) - 1] == listed[-1]
            assert float(decoded.scores[user, len(listed) - 1]) == pytest.approx(total, abs=1e-3)


@pytest.mark.parametrize(("balance_rate", "alive"), [(0.01, True), (0.0, False)])
def test_all_experts_have_work_after_training(balance_rate: float, alive: bool, tmp_path: Path) -> None:
    world, sids = ring(num_items=30, num_users=40), sids_of(30, (4, 5, 6))
    trie = PrefixTrie.build(sids)
    generator = MOE.build(sids, num_experts=12, balance_rate=balance_rate)
    settings = TrainSettings(epochs=8, lr=1e-2, warmup_steps=5, batch_states=80, num_validations=1, validation_users=1)
    quiet = {"work": tmp_path, "device": torch.device("cpu"), "progress": False, "log": lambda line: None}
    fit(generator, SessionCrossEntropy(trie=trie), world, trie, settings, **quiet)
    shares = []

    def measure(layer: Experts, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        chosen = (torch.sigmoid(layer.router(inputs[0])) + layer.balance).topk(2, dim=1).indices.flatten()
        shares.append(chosen.bincount(minlength=12) / len(chosen))

    for block in generator.encdec.decoder.blocks:
        block.feedforward.register_forward_hook(measure)
    rows = [world.train[user].tolist() for user in range(40)]
    with torch.inference_mode():
        generator.session_logits(batch_of([row[:-1] for row in rows], rows))
    assert bool((torch.stack(shares) > 0.25 / 12).all()) is alive
