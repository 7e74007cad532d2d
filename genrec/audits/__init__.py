"""Audits: what a dataset can and cannot show, found without training anything.

A check is a file here that returns figures, and a reader that turns figures into findings.
Thresholds are judgement; all of them are in ``findings.py``.
"""
