"""The HTTP service around ``genrec.recommender``, and nothing else.

Bodies, limits, batching, connections, metrics and the page to try it. What an answer is, is decided in ``genrec.recommender``.
Every new path needs its schema, its limit and its rows in the tests of requests.
"""
