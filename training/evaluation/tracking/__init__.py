"""Tracks against the truth: TrackEval, hidden objects, kept identities."""
