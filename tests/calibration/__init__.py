"""Tests of ops: every backend against oracles in numpy and Python integers."""
