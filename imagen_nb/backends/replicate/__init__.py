"""FLUX hosted by Replicate: the API, what its errors mean, the models and their prices.

The entry points in pyproject.toml name `backend.schnell` and `backend.dev`; nothing
else is used outside.
"""
