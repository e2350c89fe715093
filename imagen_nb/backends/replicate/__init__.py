"""FLUX hosted by Replicate."""
