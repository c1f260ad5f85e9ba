"""Shapes fitted to evidence: the second-order fit, and the ways that render."""
