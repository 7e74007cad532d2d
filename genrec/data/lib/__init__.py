"""What data sources share: reading files of every shape, times, ids, columns, and the doctor behind ``genrec init``.

Readers lose no row silently: they read it, or they refuse it in one line that names it.
Nothing here is a plug-in and nothing here imports one.
"""
