"""One shape and a smooth motion for what was seen in several frames."""
