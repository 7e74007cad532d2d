"""What item encoders share: texts of items, words, truncated SVD, and the cache of vectors on disk.

Nothing here is a plug-in and nothing here imports one.
Changes move vectors, and so everything after them: raise the version of the stage ``embed``.
"""
