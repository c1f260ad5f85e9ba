"""Depth and classes against the truth, and calibrated confidence."""
