"""Kernels of polarization."""
