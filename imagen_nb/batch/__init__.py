"""Batches: one notebook over a table of jobs, with warm kernels, resumable."""
