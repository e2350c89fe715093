"""The pictures of a frame: where they are, and what is done with many of them."""
