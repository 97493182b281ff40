"""Kernels of diffusion."""
