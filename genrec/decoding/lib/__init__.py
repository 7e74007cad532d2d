"""What decoding strategies share: the level-by-level search, its constraints, tie groups, candidates, batches of users.

Nothing here is a plug-in and nothing here imports one.
The search is held against the exhaustive oracle; keep it so.
"""
