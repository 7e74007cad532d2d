"""What objectives share: the item softmax and its samples, the log normalizer, policies and rewards, distillation.

Nothing here is a plug-in and nothing here imports one.
Golden trajectories (tests/golden) hold the numbers.
"""
