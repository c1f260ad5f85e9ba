"""Recordings and labels in the viewer, live pages and files of it."""
