"""Masks and surface coordinates of cars in crops."""
