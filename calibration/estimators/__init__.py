"""Gradient estimators: how what is observed moves with the parameters, and how sure that is."""
