"""Models that predict the next item from a history. One file each; ``encdec`` is the default."""
