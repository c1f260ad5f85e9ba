"""What can be wrong with a bag."""

from __future__ import annotations


class BagError(ValueError):
    """A bag cannot be used; the message says why and what to do."""


class MissingTopicError(BagError):
    """A bag lacks a needed topic; the message lists what it has."""


class CorruptBagError(BagError):
    """A part of a bag is damaged; the message says which part is lost."""


class MessageError(BagError):
    """A message contradicts itself, such as an image with too few bytes."""


class TransformError(BagError):
    """A transform between two frames is not known at the wanted time."""


class BagWarning(UserWarning):
    """Part of a bag is lost; the rest is used."""
