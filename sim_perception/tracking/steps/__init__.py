"""The tracker's steps, each a function of the table of tracks."""
