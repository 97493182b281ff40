"""Tests of lpm: properties, closed forms, and independent oracles."""
