"""Recordings become labels, labels become crops and better networks."""
