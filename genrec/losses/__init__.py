"""Training objectives. They turn a generator's logits into a loss and never look inside the generator."""
