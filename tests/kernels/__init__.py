"""Tests of single kernels: closed forms, published figures and slow oracles."""
