"""Masks and coordinates of crops against the truth."""
