"""FLUX models with random weights, of the true shapes: to time without a download.

What they draw is a texture. How long that takes, and in what memory, is as with the
true weights: neither depends on what the numbers are.
"""
