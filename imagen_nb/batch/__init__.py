"""Batches: one notebook over a table of jobs, in warm kernels, resumable.

Papermill finds the engine `imagen-warm` in `warm.engine` by its entry point.

Other rooms use:
    results.executed: `glue`, which records in a notebook the pictures that it drew
    running.loop: `BatchPlan`, which jobs are done and which are to run
    running.run: `run_batch`, and `plan_batch`, which says what it would run
"""
