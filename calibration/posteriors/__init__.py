"""Posteriors: how sure the parameters are, and whether that holds."""
