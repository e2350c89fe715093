"""What pictures of other programs say of how they were made; no torch, no pandas.

`reading.read_metadata` is what others call; it gives a `foreign_metadata.ForeignMetadata`.
Each program has a module, which knows where that program writes what.
"""
