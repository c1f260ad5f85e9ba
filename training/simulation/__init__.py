"""Scenarios become bags; bags get another style."""
