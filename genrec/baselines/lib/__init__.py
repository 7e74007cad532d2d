"""What baselines share: pair statistics, recency weights, ranking by scores, and the search for open settings.

Nothing here is a plug-in and nothing here imports one.
Ranking follows the same rules as for models: seen items, ties, candidates.
"""
