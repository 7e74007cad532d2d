"""What generators share: prompts and tasks of language models, one that decodes, and keywords of items' texts.

Nothing here is a plug-in and nothing here imports one.
Where a prompt has a place is part of its template: a change of how templates are read changes what models learned.
"""
