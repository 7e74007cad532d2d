"""Building blocks shared by generators: attention with relative positions, transformer blocks, item embeddings."""
