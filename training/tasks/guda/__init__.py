"""Adaptation to real images without labels (GUDA)."""
