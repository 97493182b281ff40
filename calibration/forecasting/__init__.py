"""Forecasts from an origin, beside naive ones."""
