"""Batches: one notebook over a table of jobs, in warm kernels, resumable.

Other rooms use:
    results.executed: `glue`, which records a notebook's pictures
    running.run: `run_batch`, and `plan_batch` for a dry run
    warm.engine: `WarmEngine`, papermill's engine `imagen-warm`
"""
