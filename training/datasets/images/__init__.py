"""Image folders and videos as data."""
