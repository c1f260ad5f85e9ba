"""The plan of a street and who moves on it, without bodies."""
