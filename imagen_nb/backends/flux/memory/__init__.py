"""Decides how a model is held in this machine's memory."""
