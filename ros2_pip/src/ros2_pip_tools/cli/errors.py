"""The error that ends a command with a message."""


class CommandError(Exception):
    """Something the user can put right; its text says what."""
