"""Kernels of herding: doing what others are seen to do."""
