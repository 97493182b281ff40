"""Tests of network builders."""
