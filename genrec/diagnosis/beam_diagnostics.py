"""Follows the next item of each user through a beam search, and counts where it is lost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from genrec.core.dataset import Sequences
from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.batch_decoding import request_of
from genrec.decoding.lib.candidates import item_log_probs, log_group_size
from genrec.nn.trie_likelihood import path_choices
from genrec.protocols import DecodingRequest, DecodingStrategy


class Survival:
    """Watches one item of each user through a beam search; give it to a ``DecodingRequest`` as the observer.

    Args:
        trie: the one that is searched.
        items: [batch] item_idx.
    """

    def __init__(self, trie: PrefixTrie, items: Int64[Tensor, " batch"]) -> None:
        self._path = trie.paths(items)
        self._in_beams: list[Tensor] = []
        self._first: list[Tensor] = []

    def __call__(self, level: int, nodes: Int64[Tensor, "batch beams"], scores: Float[Tensor, "batch beams"]) -> None:
        """Called after each level with the beams that it left, best first; dead ones have a score of -inf."""
        on_path = (nodes == self._path[:, level + 1, None]) & (scores > float("-inf"))
        self._in_beams.append(on_path.any(dim=1))
        self._first.append(on_path[:, 0])

    @property
    def watched(self) -> bool:
        """Whether the strategy kept beams at all."""
        return bool(self._in_beams)

    @property
    def in_beams(self) -> Bool[Tensor, "batch levels"]:
        """Whether a beam is on the item's prefix after each level."""
        return torch.stack(self._in_beams, dim=1)

    @property
    def first(self) -> Bool[Tensor, "batch levels"]:
        """Whether that beam is the most probable one."""
        return torch.stack(self._first, dim=1)


TOP = 10  # of a list: what users look at
ROUNDING = 1e-4  # nats: the search and the likelihood add up the same numbers in another order
Observed = dict[str, np.ndarray]  # see ``observe``


@dataclass(frozen=True)
class Decoder:
    """What decodes, and by which rules.

    Args:
        generator: in eval mode, on the device to use.
        strategy: how.
        trie: on the same device, or None for item scorers.
        k: items per user.
        exclude_seen: never list an item of the user's own history.
    """

    generator: Any
    strategy: DecodingStrategy
    trie: PrefixTrie | None
    k: int
    exclude_seen: bool


@torch.inference_mode()
def observe(decoder: Decoder, histories: Sequences, users: np.ndarray, next_items: np.ndarray) -> Observed:
    """Decodes some users and follows their next items.

    Args:
        decoder: decodes.
        histories: of all users.
        users: int64 [users] rows.
        next_items: int64 [users] item_idx.

    Returns:
        One row per user. ``users``; ``target`` (the next item), ``log_prob`` (its own), ``open`` (may it be listed?); the list:
        ``items``, ``log_probs``, ``tie_start``, all [users, slots]. From autoregressive generators, [users, levels] each:
        ``correct`` (is the true code the most probable one?), ``taken`` (its log-probability), ``choices`` (existing codes),
        ``mass`` (of these), all given the true prefix; where there are beams ``kept`` and ``first`` (see ``Survival``).
    """
    trie, generator = decoder.trie, decoder.generator
    request = request_of(generator, histories, users, k=decoder.k, exclude_seen=decoder.exclude_seen)
    target = torch.from_numpy(next_items).to(request.batch.history.device)
    columns: dict[str, torch.Tensor] = {"open": ~_seen(request, target)}
    if trie is None:
        decoded = decoder.strategy.decode(generator, None, request)
        log_probs = item_log_probs(generator, None, request.batch, torch.cat([target.unsqueeze(1), decoded.items], dim=1))
        columns |= {"log_prob": log_probs[:, 0], "log_probs": log_probs[:, 1:]}
    else:
        survival = Survival(trie, target)
        decoded = decoder.strategy.decode(generator, trie, replace(request, observer=survival))
        choices = list(path_choices(generator, trie, request.batch, target.unsqueeze(1)))
        taken = torch.cat([choice.on_path for choice in choices], dim=1)
        columns |= {
            "log_prob": taken.sum(dim=1) - log_group_size(trie, trie.leaf_of[target].long()),
            "log_probs": decoded.scores,
            "taken": taken,
            "correct": torch.cat([choice.log_probs.argmax(-1) == choice.slot for choice in choices], dim=1),
            "choices": torch.cat([choice.num_children for choice in choices], dim=1),
            "mass": torch.cat([choice.log_probs.exp().sum(-1) for choice in choices], dim=1),
        }
        if survival.watched:
            columns |= {"kept": survival.in_beams, "first": survival.first}
    columns |= {"items": decoded.items, "tie_start": decoded.tie_start}
    return {"users": users, "target": next_items} | {key: value.cpu().numpy() for key, value in columns.items()}


def _seen(request: DecodingRequest, items: torch.Tensor) -> torch.Tensor:
    """Which users have seen the item and must not get it again."""
    if request.seen is None:
        return torch.zeros(len(items), dtype=torch.bool, device=items.device)
    return (request.seen == items.unsqueeze(1)).any(dim=1)


def level_accuracy(seen: Observed) -> list[dict[str, Any]] | None:
    """Per level: how often the true code is the best one given the true prefix, and how often given the generator's own.

    Returns:
        ``accuracy``, ``own_accuracy`` (None without beams), ``log_prob``, ``log_choices``, ``forced``, ``mass``, all means over
        users (see ``genrec.stages.diagnose``); None for an item scorer.
    """
    if "taken" not in seen:
        return None
    columns = {
        "accuracy": seen["correct"],
        "log_prob": seen["taken"].astype(np.float64),
        "log_choices": np.log(seen["choices"]),
        "forced": seen["choices"] == 1,
        "mass": seen["mass"].astype(np.float64),
    }
    in_beams = seen["first"].mean(axis=0).tolist() if "first" in seen else [None] * seen["taken"].shape[1]
    means = {name: values.mean(axis=0).tolist() for name, values in columns.items()} | {"own_accuracy": in_beams}
    return [{name: values[level] for name, values in means.items()} for level in range(len(in_beams))]


def beam_losses(seen: Observed, k: int) -> dict[str, Any] | None:
    """Counts where the search loses the next item, and by which kind of error; items that are forbidden as seen are left out.

    An item that is not listed though it is more probable than the last listed one is a search error, all else that is not
    listed a model error. An exact search would list at most the search errors more: it may find better items than those, too.

    Args:
        seen: what was observed.
        k: items per user; lists are judged at 10 and at k.

    Returns:
        ``users``, ``excluded``, ``lost``, ``kept``, ``lists`` (see ``genrec.stages.diagnose``); None without beams.
    """
    is_open = seen["open"]
    if "kept" not in seen or not is_open.any():
        return None
    shares = np.concatenate([[1.0], seen["kept"][is_open].mean(axis=0)])  # a prefix that has left does not come back
    items, log_probs, target = seen["items"][is_open], seen["log_probs"][is_open], seen["log_prob"][is_open]
    lists = []
    for cut in sorted({min(TOP, k), k}):
        on_list = ((items == seen["target"][is_open, None]) & (seen["tie_start"][is_open] <= cut)).any(axis=1)
        search_error = ~on_list & (target > log_probs[:, cut - 1] + ROUNDING)
        model_error = ~on_list & ~search_error
        figures = {"listed": on_list, "search_errors": search_error, "model_errors": model_error}
        lists.append({"k": cut} | {name: float(values.mean()) for name, values in figures.items()})
    return {
        "users": int(is_open.sum()),
        "excluded": int((~is_open).sum()),
        "lost": (shares[:-1] - shares[1:]).tolist(),
        "kept": float(shares[-1]),
        "lists": lists,
    }
