"""Statistics over users and seeds: bootstrap intervals, paired tests, reliability, and the weights of an ensemble.

Pure functions of arrays: no files, no configuration, no model. Each states its formula and has an example.
Add a function freely; a changed formula moves figures, which the changelog then says.
"""
