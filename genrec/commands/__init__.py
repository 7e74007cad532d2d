"""Commands: one file per verb of ``genrec``, which parses its words and calls the library.

The first line of a file's docstring is its help. Heavy libraries are imported inside the command, once it is known.
Whatever a command can do, the Python API can do too.
"""
