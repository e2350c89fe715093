"""Loads a pipeline and draws requests with it."""
