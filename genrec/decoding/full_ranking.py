"""Ranks the whole catalogue by an item scorer's scores; no trie.

See docs/methods/trie_search.md.
"""

from __future__ import annotations

from genrec.decoding.lib.plain_strategies import ScoreRanking


class FullRanking(ScoreRanking):
    """The ``k`` best of all items; equal scores are tie groups.

    The group that crosses rank k is listed whole, so that a metric can count it by expected rank, up to ``_MOST_TIED`` items
    beyond k: a scorer that gives everything the same score does not make a list of the catalogue.
    """
