"""The objects that everything hangs on: the dataset, a batch, the semantic-ID table and the prefix trie.

Each is the only owner of what it holds: nobody else counts levels, builds trees or slices histories.
Nothing here knows a plug-in, a stage or a file format. Change it with care: every room above reads these objects.
"""
