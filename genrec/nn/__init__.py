"""Torch modules that generators share, and what reads the logits of a generator along the trie.

A generator takes its layers from here and never from another generator.
New layers are welcome; golden trajectories (tests/golden) hold the numbers of those that exist.
"""
