"""Lists of items from transformers' own ``generate``, in a folder that ``export.runtime=hf_llm`` wrote.

This file imports nothing of genrec, so it can be copied beside the folder; it needs torch, transformers, safetensors and
jaxtyping. ``examples/language_model_lists.py`` is a program with it, docs/deployment.md says what has to match.

    config.json  model.safetensors  tokenizer.json ...   the model; codes are words of its vocabulary, such as <a_12>
    generation_config.json                               beam search without a length penalty, one token per level
    sid2item.json                                        semantic ID as text -> the ids of the items that have it
    catalogue.json  trie.safetensors                     which words are codes, how prompts begin, which IDs exist
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from transformers import LogitsProcessor

CATALOGUE_FILE, ITEMS_FILE, TRIE_FILE = "catalogue.json", "sid2item.json", "trie.safetensors"
NO_ITEM = -1e30  # the score of a code that leads nowhere: beams that die stay among the codes, so that their level can be read
DEAD = -1e8  # scores of items are above this one; ``generate`` starts all beams but one at -1e9
ENDED = -1  # the node of a prefix that no item has


class CatalogueTrie:
    """The semantic IDs of a catalogue as words of a language model's vocabulary.

    Nodes are numbered breadth first, the children of a node one after another in the order of their codes.

    Args:
        tensors: ``first_child`` [inner nodes + 1], ``parent``, ``code``, ``first_item`` and ``end_item`` [nodes].
        level_starts: depth -> its first node.
        widths: level -> the most children that a node has there.
        sizes: level -> number of codes.
        first_tokens: level -> the token of its code 0; those of the other codes follow.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        *,
        level_starts: Sequence[int],
        widths: Sequence[int],
        sizes: Sequence[int],
        first_tokens: Sequence[int],
    ) -> None:
        self.first_child, self.parent, self.code = (tensors[name].long() for name in ("first_child", "parent", "code"))
        self.num_below = tensors["end_item"].long() - tensors["first_item"].long()
        self.level_starts, self.widths = tuple(level_starts), tuple(widths)
        self.sizes, self.first_tokens = tuple(sizes), tuple(first_tokens)
        # Children of one depth in order: the key of the step that leads to each.
        self.keys = [
            self.parent[start:end] * size + self.code[start:end]
            for start, end, size in zip(self.level_starts[1:-1], self.level_starts[2:], self.sizes, strict=True)
        ]
        self.level_of = torch.full((max(map(sum, zip(first_tokens, sizes, strict=True))),), -1)
        for level, (first, size) in enumerate(zip(first_tokens, sizes, strict=True)):
            self.level_of[first : first + size] = level

    @property
    def num_levels(self) -> int:
        return len(self.sizes)

    def to(self, device: torch.device) -> CatalogueTrie:
        """The same trie with its tensors on a device."""
        if self.code.device == device:
            return self
        moved = object.__new__(CatalogueTrie)
        for name, value in vars(self).items():
            of_keys = [key.to(device) for key in value] if name == "keys" else value
            setattr(moved, name, value.to(device) if isinstance(value, Tensor) else of_keys)
        return moved

    def next_level(self, tokens: Int64[Tensor, "rows time"]) -> int:
        """The level that comes after the last tokens: all rows stand at the same one."""
        last = tokens[:, -1]
        level = torch.where(last < len(self.level_of), self.level_of[last.clamp(max=len(self.level_of) - 1)], -1)
        return int((level.max() + 1) % self.num_levels)

    def nodes(self, tokens: Int64[Tensor, "rows levels"]) -> Int64[Tensor, " rows"]:
        """The nodes of prefixes of any one length; ``ENDED`` where no item begins so."""
        nodes = torch.zeros(len(tokens), dtype=torch.long, device=tokens.device)
        for level, keys in enumerate(self.keys[: tokens.shape[1]]):
            code = tokens[:, level] - self.first_tokens[level]
            key = nodes * self.sizes[level] + code
            place = torch.searchsorted(keys, key).clamp(max=len(keys) - 1)
            exists = (nodes != ENDED) & (code >= 0) & (code < self.sizes[level]) & (keys[place] == key)
            nodes = torch.where(exists, self.level_starts[level + 1] + place, ENDED)
        return nodes

    def children(
        self, nodes: Int64[Tensor, " rows"], level: int
    ) -> tuple[Int64[Tensor, "rows width"], Bool[Tensor, "rows width"]]:
        """The children of nodes of depth ``level``, and which of them exist."""
        first = self.first_child[nodes.clamp(min=0)]
        child = first.unsqueeze(1) + torch.arange(self.widths[level], device=nodes.device)
        exists = (child < self.first_child[nodes.clamp(min=0) + 1].unsqueeze(1)) & (nodes != ENDED).unsqueeze(1)
        return torch.where(exists, child, 0), exists

    def closed_by(self, seen: Sequence[Int64[Tensor, " items"]]) -> list[Int64[Tensor, " pairs"]]:
        """Depth by depth, as ``user * nodes + node``: the nodes below which a user has seen every item.

        Args:
            seen: of each user the leaves of distinct items, a leaf as often as items that share it were seen.
        """
        user = torch.cat([torch.full((len(leaves),), number) for number, leaves in enumerate(seen)])
        node, closed = torch.cat([*seen]).long(), []
        for _ in range(self.num_levels):
            key, count = torch.unique(user * len(self.code) + node, return_counts=True)
            closed.append(key[count == self.num_below[key % len(self.code)]])
            node = self.parent[node]
        return [torch.empty(0, dtype=torch.long), *reversed(closed)]


class TrieLogitsProcessor(LogitsProcessor):
    """Lets ``generate`` write nothing but semantic IDs of the catalogue, with genrec's own log-probabilities.

    Which level comes next is read from the last token, so one processor serves any number of calls; no step loops over beams.
    A sequence's score is the log-probability of ONE item: where n items share an ID, log(n) is taken off it.

    Args:
        trie: of the catalogue.
        normalization: as the model was trained: "codebook" (over a level's codes) or "trie" (over the codes that exist).
        closed: per depth what ``CatalogueTrie.closed_by`` found; None: nothing was seen.
        num_users: prompts of the batch that ``closed`` is about.
    """

    def __init__(
        self,
        trie: CatalogueTrie,
        *,
        normalization: str,
        closed: Sequence[Int64[Tensor, " pairs"]] | None = None,
        num_users: int = 1,
    ) -> None:
        self.trie, self.normalization, self.closed, self.num_users = trie, normalization, closed, num_users

    def __call__(
        self, input_ids: Int64[Tensor, "rows time"], scores: Float[Tensor, "rows vocabulary"]
    ) -> Float[Tensor, "rows vocabulary"]:
        """The scores of the next token of each beam, -inf for what is no code of the next level."""
        trie = self.trie = self.trie.to(scores.device)
        level = trie.next_level(input_ids)
        nodes = trie.nodes(input_ids[:, input_ids.shape[1] - level :])
        child, exists = trie.children(nodes, level)
        first, size = trie.first_tokens[level], trie.sizes[level]
        of_level = scores[:, first : first + size].float()
        code = trie.code[child].clamp(min=0)
        of_children = of_level.gather(1, code).masked_fill(~exists, float("-inf"))
        total = of_level if self.normalization == "codebook" else of_children
        log_probs = of_children - total.logsumexp(dim=1, keepdim=True)
        if level == trie.num_levels - 1:
            log_probs = log_probs - trie.num_below[child].log()
        if self.closed is not None:
            user = torch.arange(len(nodes), device=nodes.device) // (len(nodes) // self.num_users)
            key = user.unsqueeze(1) * len(trie.code) + child
            exists = exists & ~torch.isin(key, self.closed[level + 1].to(key.device))
        written = torch.full((len(nodes), size + 1), NO_ITEM, dtype=scores.dtype, device=scores.device)
        written = written.scatter(1, torch.where(exists, code, size), log_probs.masked_fill(~exists, NO_ITEM).to(scores.dtype))
        answer = torch.full_like(scores, float("-inf"))
        answer[:, first : first + size] = written[:, :size]
        return answer


class LanguageModelCatalogue:
    """What a folder says of its items: prompts of histories, the processor, and items of what was generated.

    Args:
        facts: content of catalogue.json.
        items_of: semantic ID as text -> item ids.
        trie: of the IDs.
    """

    def __init__(self, facts: Mapping[str, Any], items_of: Mapping[str, Sequence[str]], trie: CatalogueTrie) -> None:
        self.facts, self.items_of, self.trie = facts, items_of, trie
        self.sid_of = {item: sid for sid, items in items_of.items() for item in items}

    @classmethod
    def load(cls, folder: Path | str) -> LanguageModelCatalogue:
        """Reads a folder that ``export.runtime=hf_llm`` wrote."""
        folder = Path(folder)
        facts, items_of = (json.loads((folder / name).read_text(encoding="utf-8")) for name in (CATALOGUE_FILE, ITEMS_FILE))
        with safe_open(folder / TRIE_FILE, framework="pt") as file:
            shape = json.loads(file.metadata()["facts"])
        trie = CatalogueTrie(
            load_file(folder / TRIE_FILE),
            level_starts=shape["level_starts"],
            widths=shape["widths"],
            sizes=shape["sizes"],
            first_tokens=facts["first_tokens"],
        )
        return cls(facts, items_of, trie)

    def tokens(self, item: str) -> list[int]:
        """The tokens of an item's semantic ID."""
        codes = (part.rpartition("_")[2] for part in self.sid_of[item].rstrip(">").split(">"))
        return [first + int(code) for first, code in zip(self.trie.first_tokens, codes, strict=True)]

    def prompt(self, history: Sequence[str]) -> str:
        """The prompt of a history as text, for other engines; only where the tokenizer reads it as the model was trained.

        Raises:
            ValueError: where it does not, and ``inputs`` has to be used.
        """
        if self.facts["prompt"] is None:
            raise ValueError("the tokenizer reads the text of a prompt as other tokens than those of training: use inputs()")
        return self.facts["prompt"] + "".join(map(self.sid_of.__getitem__, self._readable(history)))

    def inputs(self, histories: Sequence[Sequence[str]], device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """Prompts of histories, padded on the left, as ``generate`` takes them; unknown item ids are left out.

        Args:
            histories: item ids, oldest first.
            device: of the tensors.
        """
        rows = [
            [*self.facts["prompt_ids"], *(t for item in self._readable(row) for t in self.tokens(item))] for row in histories
        ]
        width = max(map(len, rows))
        tokens = torch.tensor([[*[self.facts["pad_id"]] * (width - len(row)), *row] for row in rows], device=device)
        end = torch.tensor([[width - len(row)] for row in rows], device=device)
        return {"input_ids": tokens, "attention_mask": (torch.arange(width, device=device) >= end).long()}

    def processor(self, histories: Sequence[Sequence[str]] | None = None) -> TrieLogitsProcessor:
        """The processor for a batch of prompts.

        Args:
            histories: never recommend an item of these, by prompt: genrec's ``recommend.exclude_seen``; None: recommend any.
        """
        closed = None if histories is None else self.trie.closed_by([self._leaves(history) for history in histories])
        number = 1 if histories is None else len(histories)
        return TrieLogitsProcessor(self.trie, normalization=self.facts["normalization"], closed=closed, num_users=number)

    def lists(
        self,
        sequences: Int64[Tensor, "rows time"],
        scores: Float[Tensor, " rows"],
        histories: Sequence[Sequence[str]],
        k: int,
        *,
        exclude_seen: bool,
    ) -> list[list[tuple[str, float]]]:
        """The items and log-probabilities of what ``generate`` returned, best first.

        Args:
            sequences: of ``generate``, prompts included.
            scores: its ``sequences_scores``.
            histories: the prompts'.
            k: items of each list, at most.
            exclude_seen: leave out items of the history that share an ID with others; the rest of them the processor did.
        """
        sids, beams = sequences[:, -self.trie.num_levels :].tolist(), len(sequences) // len(histories)
        rows: list[list[tuple[str, float]]] = [[] for _ in histories]
        for number, (sid, score) in enumerate(zip(sids, scores.tolist(), strict=True)):
            if score > DEAD:
                seen = histories[number // beams] if exclude_seen else ()
                rows[number // beams] += [(item, score) for item in self.items_of[self._text(sid)] if item not in seen]
        return [row[:k] for row in rows]

    def _text(self, tokens: Iterable[int]) -> str:
        pairs = zip(self.facts["levels"], self.trie.first_tokens, tokens, strict=True)
        return "".join(f"<{name}_{token - first}>" for name, first, token in pairs)

    def _readable(self, history: Sequence[str]) -> list[str]:
        return [item for item in history if item in self.sid_of][-self.facts["max_history_len"] :]

    def _leaves(self, history: Sequence[str]) -> Int64[Tensor, " items"]:
        rows = [self.tokens(item) for item in dict.fromkeys(history) if item in self.sid_of]
        return self.trie.nodes(torch.tensor(rows, dtype=torch.long).view(-1, self.trie.num_levels))
