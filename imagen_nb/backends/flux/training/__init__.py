"""Training of LoRAs on the pictures of a data set, for any model of FLUX layout.

`pictures` reads the data set, `samples` encodes it once, `layouts` knows how each kind of
pipeline lays out tokens, `objective` is what is minimised, `adapter` the LoRA itself,
`checkpoints` what survives an interruption, and `trainer` the loop over all of it.
"""
