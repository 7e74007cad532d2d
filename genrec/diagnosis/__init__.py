"""Diagnosis: how healthy IDs are, where a search loses the next item, and which items of a history speak for a recommendation.

It reads models, tables and lists; it changes none of them and trains nothing.
A new figure is a function here and a line in the stage or page that shows it.
"""
