"""Kernels that stay warm from one notebook to the next, as an engine of papermill."""
