"""Kernels that stay warm between notebooks."""
