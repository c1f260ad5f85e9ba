"""The cards of checkpoints: what they are, how they were made and scored."""
