"""Scenarios rendered on the fly as data."""
