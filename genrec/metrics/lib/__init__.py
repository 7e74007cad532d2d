"""What metrics share: the join of lists with held-out items, tie groups, lists as a matrix, and tables of anybody.

Nothing here is a plug-in and nothing here imports one.
Ties count by their expected rank; a changed rule moves every figure.
"""
