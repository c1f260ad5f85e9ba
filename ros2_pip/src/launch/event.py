"""Base class of everything that happens during a launch."""


class Event:
    """Something that happened, or that was asked for."""

    name = 'launch.Event'
