"""Recommendations by transformers' own ``generate``: the model folder of an exported ``lc_rec``, its trie, no training code.

    genrec export ... generator=lc_rec export.runtime=hf_llm
    python examples/language_model_lists.py runs/shop/bundle/hf_llm item001 item002

``genrec/recommender/trie_logits.py`` is the only file of genrec that is needed; copy it where genrec is not installed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from genrec.recommender.trie_logits import LanguageModelCatalogue


class LanguageModelRecommender:
    """Ranks the items of a folder that ``export.runtime=hf_llm`` wrote.

    Args:
        folder: ``hf_llm`` of a bundle.
        device: where the model runs.
    """

    def __init__(self, folder: Path | str, device: str = "cpu") -> None:
        self.catalogue = LanguageModelCatalogue.load(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder).eval().to(device)

    @torch.inference_mode()
    def recommend(
        self, histories: Sequence[Sequence[str]], k: int = 10, *, num_beams: int | None = None
    ) -> list[list[tuple[str, float]]]:
        """The ``k`` most likely next items of each history, with their log-probabilities.

        Args:
            histories: item ids, oldest first; may be empty lists. Unknown ids are left out.
            k: at most ``num_beams``.
            num_beams: prefixes that are kept; None: as the folder says.
        """
        beams = num_beams or self.model.generation_config.num_beams
        exclude_seen = self.catalogue.facts["exclude_seen"]
        answer = self.model.generate(
            **self.catalogue.inputs(histories, self.model.device),
            logits_processor=[self.catalogue.processor(histories if exclude_seen else None)],
            num_beams=beams,
            num_return_sequences=beams,
            return_dict_in_generate=True,
            output_scores=True,
        )
        return self.catalogue.lists(answer.sequences, answer.sequences_scores, histories, k, exclude_seen=exclude_seen)


def main() -> None:
    """Reads the command line."""
    folder, *history = sys.argv[1:]
    for item_id, score in LanguageModelRecommender(folder).recommend([history])[0]:
        print(f"{item_id}\t{score:.4f}")


if __name__ == "__main__":
    main()
