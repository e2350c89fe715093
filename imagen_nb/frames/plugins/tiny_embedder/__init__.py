"""The embedder `tiny`: small weights of our own, for the embedded FLUX's world.

`embedder.tiny_embedder` is what the entry point names, `network` its two encoders in
NumPy. docs/tiny-embedder.md says what it knows and how well.
"""
