"""What tokenizers share: residual chains, k-means, autoencoders, modules of vector-quantize-pytorch, even codes, codes that are
looked up, trees of paths.

Nothing here is a plug-in and nothing here imports one.
Results must not depend on batch size or row order; the contract suite checks it for every tokenizer.
"""
