"""The live pipeline for a while, and a report of it."""
