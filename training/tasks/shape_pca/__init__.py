"""A linear space of car shapes."""
