"""Training of LoRAs on the pictures of a data set, for any model of FLUX layout.

`pictures` reads the data set, `samples` encodes it once, `layouts` knows how each kind of
pipeline lays out tokens, `objective` is what is minimised, `adapter` the LoRA itself,
`checkpoints` what survives an interruption, `loop` the steps, and `trainer` all of it;
`settings` is what users decide, `watch` what they are told.
"""
