"""Motion from images against true motion."""
