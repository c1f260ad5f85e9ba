"""Shape spaces against unseen cars."""
