"""What item encoders share: texts of items, words, truncated SVD, and the cache of vectors on disk.

This folder holds no plug-in, and no file of it imports one.
A change here that changes vectors needs a higher version of the stage ``embed``, since all later stages depend on vectors.
"""
