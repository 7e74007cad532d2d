"""What ``genrec new`` copies: a working plug-in of each kind, in as few lines as it takes.

Nothing here is used by genrec itself; the files are text to ``genrec new``, and modules to the tests and to mypy.
Keep each as short as its contract allows: people read them first.
"""
