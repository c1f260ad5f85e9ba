"""Recordings as data: frames, clips, labels to make, truth of tracks."""
