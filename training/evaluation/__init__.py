"""Evaluation data by SPEC, and the scoring of a checkpoint on it."""
