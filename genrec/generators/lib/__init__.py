"""What generators share: prompts of language models, and the words that they are asked about."""
