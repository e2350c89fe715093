"""Runs jobs: here, in worker processes or on a Dask cluster."""
