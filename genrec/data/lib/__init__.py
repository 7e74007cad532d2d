"""What data sources share: reading files of every shape, times, ids, columns, and the doctor behind ``genrec init``.

A reader never loses a row silently: it reads the row, or refuses it with a message that names the row.
This folder holds no plug-in, and no file of it imports one.
"""
