"""A DeepSDF space of car shapes."""
